"""Textures that take a photo's detail keep the appearance where the photo is not to be trusted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from smirk3d.export.photo_texture import merge_detail, vertex_trust
from smirk3d.export.texture import appearance_texture, sample_texture
from smirk3d.face import Face
from smirk3d.head import registry
from smirk3d.head.model import HeadModel
from smirk3d.render.appearance.appearance_model import head_textures
from smirk3d.render.appearance.face_appearance import FaceAppearance
from smirk3d.render.appearance.materials import region_vertices
from smirk3d.viz.head_image import draw_in_photo

SIDE = 256


@pytest.fixture(scope="module")
def face(make_face: Callable[..., Face], open_head: HeadModel) -> Face:
    face = make_face({}, angles_deg=(5.0, 0.0, 0.0), image_size=(320, 240))
    return replace(face, head_id=registry.register(open_head)).with_appearance(FaceAppearance())


def _photo(face: Face) -> np.ndarray:
    drawing = draw_in_photo(face, (0.0, 0.0, 320.0, 240.0), (240, 320), head_textures(FaceAppearance()))
    image = drawing.over(torch.full((1, 3, 1, 1), 0.2))[0].permute(1, 2, 0)
    return (image * 255).round().byte().numpy()


def _flat(value: float) -> np.ndarray:
    return np.full((SIDE, SIDE, 3), value, dtype=np.float32)


def test_a_gain_and_a_gradient_of_light_are_mostly_dropped() -> None:
    light = np.linspace(0.6, 1.2, SIDE, dtype=np.float32)[None, :, None]
    weight = np.ones((SIDE, SIDE), dtype=np.float32)
    found = merge_detail(_flat(0.5), [(_flat(0.5) * light, weight)])
    assert np.ptp(np.log(found)) < 0.5 * np.ptp(np.log(light))
    assert abs(float(np.log(found / 0.5).mean())) < 0.03


def test_fine_detail_is_kept_where_it_is_seen_and_nowhere_else() -> None:
    colors = _flat(0.5)
    colors[100:104, :] *= 0.85
    weight = np.ones((SIDE, SIDE), dtype=np.float32)
    weight[:, 128:] = 0
    found = merge_detail(_flat(0.5), [(colors, weight)])
    assert found[102, 40].mean() < 0.46
    assert abs(found[102, 200].mean() - found[60, 200].mean()) < 0.005


def test_a_dark_rim_is_left_out() -> None:
    colors = _flat(0.6)
    colors[60:64, 60:200] = 0.05
    found = merge_detail(_flat(0.6), [(colors, np.ones((SIDE, SIDE), dtype=np.float32))])
    assert found[62, 100:160].min() > 0.5


def test_a_second_photo_shows_what_the_first_hides() -> None:
    colors = _flat(0.5)
    colors[::8] *= 0.85
    left, right = (np.zeros((SIDE, SIDE), dtype=np.float32) for _ in range(2))
    left[:, :128], right[:, 128:] = 1, 1
    one = merge_detail(_flat(0.5), [(colors, left)])
    both = merge_detail(_flat(0.5), [(colors, left), (colors, right)])
    assert np.ptp(one[:, 200]) < 0.02 < np.ptp(both[:, 200])


def test_edges_of_lids_and_lips_are_not_taken_from_photos(open_head: HeadModel) -> None:
    trust = vertex_trust(open_head)
    face, sockets, mouth = (region_vertices(open_head, name) for name in ("face", "eye_sockets", "mouth_interior"))
    assert not trust[face & (sockets | mouth)].any() and not trust[~face].any()
    assert (trust[region_vertices(open_head, "nose")] > 0.9).mean() > 0.9


def test_a_render_of_the_appearance_gives_the_appearance_back(face: Face) -> None:
    texture, own = sample_texture(face, _photo(face), SIDE), appearance_texture(face)
    assert own is not None
    assert texture.visible.any() and texture.image.shape == (SIDE, SIDE, 3)
    rows = np.linspace(0, own.image.shape[0] - 1, SIDE).round().astype(int)
    columns = np.linspace(0, own.image.shape[1] - 1, SIDE).round().astype(int)
    reduced = own.image[rows][:, columns].astype(float)
    assert np.median(np.abs(texture.image - reduced)[texture.visible]) < 25
    hidden = ~texture.visible
    assert np.median(np.abs(texture.image - reduced)[hidden]) < 12
