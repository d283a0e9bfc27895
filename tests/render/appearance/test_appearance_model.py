"""The appearance model: textures follow their coefficients."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from smirk3d.head.model import HeadModel
from smirk3d.render.appearance.appearance_model import (
    OPACITIES,
    appearance_model,
    head_textures,
    supports,
)
from smirk3d.render.appearance.face_appearance import (
    SKIN_LAB,
    FaceAppearance,
    lab_to_srgb,
    skin_tone,
    srgb_to_lab,
)
from smirk3d.render.appearance.face_colors import head_colors
from smirk3d.render.appearance.materials import eye_texture, iris_colors, iris_texture, region_vertices, vertex_colors
from smirk3d.zoo import registry

PLAIN = FaceAppearance(hair_short=0.0, brow_strength=0.0, lashes=0.0)
LIGHT, DARK = skin_tone(66.0), skin_tone(36.0)


def _layer(name: str) -> np.ndarray:
    model = appearance_model(1)
    return model.opacity[OPACITIES.index(name)].reshape(model.size)


def _image(appearance: FaceAppearance) -> np.ndarray:
    return head_textures(appearance, 1).skin.astype(np.float64) / 255


def test_file_is_small() -> None:
    assert registry.find("appearance").stat().st_size <= 3e6


@pytest.mark.parametrize("tone", [LIGHT, DARK])
@pytest.mark.parametrize("female", [-1.0, 1.0])
def test_cheeks_have_the_tone_whatever_the_look(open_head: HeadModel, tone: tuple, female: float) -> None:
    colors = head_colors(open_head, replace(PLAIN, skin=tone, female=female))
    points = open_head.v_template.numpy()
    cheeks = (
        (np.abs(np.abs(points[:, 0]) - 0.045) < 0.012) & (np.abs(points[:, 1] + 0.015) < 0.02) & (points[:, 2] > 0.09)
    )
    np.testing.assert_allclose(np.median(colors[cheeks], axis=0), tone, atol=0.06)


def test_darker_tone_darkens_all_skin() -> None:
    light, dark = _image(replace(PLAIN, skin=LIGHT)), _image(replace(PLAIN, skin=DARK))
    assert (dark.mean(2) <= light.mean(2) + 1e-6).mean() > 0.99


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("beard", {"beard": 0.9}),
        ("moustache", {"moustache": 0.9}),
        ("hair_short", {"hair_short": 0.9}),
        ("hair_long", {"hair_long": 0.9}),
        ("brows_thick", {"brow_strength": 0.9, "brow_width": 1.0}),
        ("lashes", {"lashes": 0.9}),
    ],
)
def test_a_coefficient_darkens_its_layer_only(name: str, change: dict[str, float]) -> None:
    darker = (_image(PLAIN) - _image(replace(PLAIN, **change))).mean(2)
    layer = _layer(name)
    assert darker[layer > 0.6].mean() > 0.15
    assert np.abs(darker[layer < 0.005]).max() < 0.05


def test_lips_are_redder_than_the_skin(open_head: HeadModel) -> None:
    colors = head_colors(open_head, PLAIN)
    lips = colors[region_vertices(open_head, "lips")]
    assert np.median(lips[:, 0] - lips[:, 1]) > PLAIN.skin[0] - PLAIN.skin[1] + 0.03


def test_without_an_appearance_colours_are_those_of_the_materials(open_head: HeadModel) -> None:
    assert head_colors(open_head, None) is vertex_colors(open_head)


def test_only_the_open_head_is_supported(open_head: HeadModel, flame_head: HeadModel) -> None:
    assert supports(open_head) and not supports(flame_head)


def test_quick_eye_texture_is_that_of_the_materials() -> None:
    iris = (0.3, 0.4, 0.5)
    difference = iris_texture(iris).astype(int) - eye_texture(384, colors=iris_colors(iris)).astype(int)
    assert np.abs(difference).max() <= 1


def test_tones_get_darker_along_the_table_and_lab_is_inverted() -> None:
    tones = np.array([skin_tone(lightness) for lightness in SKIN_LAB[:, 0]])
    assert (np.diff(tones, axis=0) < 0).all()
    np.testing.assert_allclose(srgb_to_lab(tones), SKIN_LAB, atol=0.05)
    np.testing.assert_allclose(lab_to_srgb(srgb_to_lab(tones)), tones, atol=1e-6)


def test_lab_of_white_and_a_known_colour() -> None:
    np.testing.assert_allclose(srgb_to_lab(np.ones(3)), [100, 0, 0], atol=0.05)
    np.testing.assert_allclose(srgb_to_lab(np.array([1.0, 0, 0])), [53.24, 80.09, 67.20], atol=0.1)
