from __future__ import annotations

from typing import Any

import torch

from smirk3d.render.photo_warp.mesh_parts import MOUTH, part_of_triangles
from smirk3d.render.photo_warp.mouth_interior import mouth_colors, mouth_trust
from smirk3d.render.rasterize import rasterize


def test_the_inside_of_an_open_mouth_gets_darker_and_nothing_else(person: Any) -> None:
    source = person.source()
    mesh = source.placed(source.face.with_arkit({"jawOpen": 0.8}), source.face.rotation)
    head, size = source.face.head, source.region.size
    fragments = rasterize(mesh.ndc[None], head.faces.to(torch.int32), size)
    part = part_of_triangles(head)[fragments.face_index[0].clamp_min(0).long()] * fragments.mask[0]
    flat = torch.full((3, size, size), 0.8)
    shaded = mouth_colors(head, mesh, fragments, part, flat)
    inside = part == MOUTH
    assert inside.any() and torch.equal(shaded[:, ~inside], flat[:, ~inside])
    assert shaded[:, inside].mean() < 0.5 and shaded.min() >= 0


def test_photos_of_closed_lips_tell_nothing_about_the_mouth(person: Any) -> None:
    source = person.source()
    opened = source.placed(source.face.with_arkit({"jawOpen": 1.0}), source.face.rotation)
    assert mouth_trust(source.fitted) == 0 and mouth_trust(opened) == 1
