"""The layout of the skin's texture: one piece of the image for each triangle."""

from __future__ import annotations

import numpy as np

from smirk3d.head.model import HeadModel
from smirk3d.render.appearance.materials import material_parts
from smirk3d.render.appearance.skin_layout import islands, skin_uv


def _areas(uv: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    a, b, c = np.moveaxis(uv[triangles], 1, 0)
    return np.cross(b - a, c - a) / 2


def test_triangles_keep_their_side_and_do_not_overlap(open_head: HeadModel) -> None:
    triangles = open_head.faces_uv.numpy()[material_parts(open_head)[0].face_index]
    own, head = _areas(skin_uv(open_head), triangles), _areas(open_head.uv.numpy(), triangles)
    assert (np.sign(own) == np.sign(head))[np.abs(head) > 1e-9].all()
    assert 0.6 < np.abs(own).sum() < 1
    assert skin_uv(open_head).min() >= 0 and skin_uv(open_head).max() <= 1


def test_face_is_upright(open_head: HeadModel) -> None:
    skin = material_parts(open_head)[0].face_index
    face = open_head.region_faces("face").numpy()
    is_face = (open_head.faces.numpy()[skin][:, None] == face[None, :400]).all(2).any(1)
    corners, rows = open_head.faces.numpy()[skin][is_face].ravel(), open_head.faces_uv.numpy()[skin][is_face].ravel()
    points, uv = open_head.v_template.numpy()[corners], skin_uv(open_head)[rows]
    assert np.corrcoef(points[:, 1], uv[:, 1])[0, 1] > 0.8
    assert np.corrcoef(points[:, 0], uv[:, 0])[0, 1] > 0.8


def test_islands_are_the_connected_parts() -> None:
    triangles = np.array([[0, 1, 2], [2, 3, 4], [6, 7, 8]])
    assert islands(triangles, 10).tolist() == [0, 0, 0, 0, 0, -1, 6, 6, 6, -1]
