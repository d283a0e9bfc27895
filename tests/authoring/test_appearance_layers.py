"""Layers of the appearance model: where hair, beard, lips and lashes are on the texture."""

from __future__ import annotations

import numpy as np
import pytest

from smirk3d.authoring import appearance_layers as layers
from smirk3d.authoring.appearance_sources import TexelMap
from smirk3d.head.model import HeadModel
from smirk3d.render.appearance.materials import region_vertices


@pytest.fixture(scope="module")
def texels(open_head: HeadModel) -> TexelMap:
    return TexelMap(open_head, (144, 192))


def _values(texels: TexelMap, image: np.ndarray, name: str) -> np.ndarray:
    inside = texels.at_vertices(region_vertices(texels.head, name)[:, None].astype(float))[:, 0] > 0.99
    return image[texels.covered][inside]


@pytest.mark.parametrize("hairline", [layers.SHORT, layers.LONG])
def test_hair_is_on_the_scalp_and_not_on_the_face(texels: TexelMap, hairline: layers.Hairline) -> None:
    hair = layers.scalp_opacity(texels, hairline)
    assert np.median(_values(texels, hair, "scalp")) > 0.95
    for name in ("nose", "lips", "left_eye_region", "right_eye_region"):
        assert _values(texels, hair, name).max() < 0.05


def test_long_hair_is_put_up_and_hides_the_sideburns(texels: TexelMap) -> None:
    long, short = (layers.scalp_opacity(texels, line)[texels.covered] for line in (layers.LONG, layers.SHORT))
    x, y, z = texels.points.T
    sides_of_the_neck = (y < -0.06) & (z < 0.06)
    assert long[sides_of_the_neck].max() < 0.05
    temples = (y > 0.06) & (y < 0.08) & (z > 0.05) & (np.abs(x) > 0.04)
    assert long[temples].mean() > short[temples].mean() + 0.1


def test_stubble_has_no_direction(texels: TexelMap) -> None:
    value = layers.stubble(texels, 0)
    assert abs(value.mean()) < 1e-3 and value.std() == pytest.approx(1, abs=1e-3)
    along, across = ((value[1:] * value[:-1]).mean(), (value[:, 1:] * value[:, :-1]).mean())
    assert along == pytest.approx(across, abs=0.05) and 0.3 < along < 0.9
    assert not np.array_equal(value, layers.stubble(texels, 1))


def test_beard_is_below_the_nose_and_beside_the_lips(texels: TexelMap) -> None:
    moustache, beard = layers.beard_opacities(texels)
    height = texels.points[:, 1]
    assert height[moustache[texels.covered] > 0.5].max() < -0.015
    assert height[beard[texels.covered] > 0.5].max() < 0.03
    assert _values(texels, np.maximum(moustache, beard), "forehead").max() < 0.2
    assert _values(texels, beard, "nose").max() < 0.2
    assert moustache[texels.covered][height > -0.022].max() < 0.1  # where the wings of the nose end


def test_a_moustache_lies_between_nose_and_upper_lip(texels: TexelMap) -> None:
    moustache, _ = layers.beard_opacities(texels)
    x, y, z = np.abs(texels.points[:, 0]), texels.points[:, 1], texels.points[:, 2]
    above_the_lip = (x > 0.006) & (x < 0.014) & (y > -0.034) & (y < -0.030) & (z > 0.1)
    assert above_the_lip.sum() > 10
    assert moustache[texels.covered][above_the_lip].mean() > 0.5
    assert _values(texels, moustache, "lips").mean() < 0.1


def test_lips_and_lashes_are_where_they_belong(texels: TexelMap) -> None:
    assert np.median(_values(texels, layers.lip_opacity(texels), "lips")) > 0.5
    lashes = layers.lash_opacity(texels)[texels.covered]
    margin = layers.lid_margin(texels)
    distance = np.linalg.norm(texels.points[lashes > 0.3][:, None] - margin, axis=2).min(axis=1)
    assert len(distance) and distance.max() < 0.005


def test_values_of_covered_texels_are_kept_and_others_get_the_nearest(texels: TexelMap) -> None:
    values = texels.points[:, :1].astype(np.float32)
    image = texels.image(values)
    np.testing.assert_array_equal(image[texels.covered], values)
    assert image.min() >= values.min() and image.max() <= values.max()


def test_blur_keeps_constants_and_spreads_a_point() -> None:
    np.testing.assert_allclose(layers.smooth(np.full((20, 30, 3), 0.7), 2.0), 0.7)
    point = np.zeros((41, 41))
    point[20, 20] = 1
    spread = layers.smooth(point, 3.0)
    rows = np.arange(41) - 20
    assert spread.sum() == pytest.approx(1) and (spread.sum(1) * rows**2).sum() == pytest.approx(9, rel=0.02)


def test_mirrored_twice_is_the_image() -> None:
    image = np.random.default_rng(0).random((10, 40))
    np.testing.assert_array_equal(layers.mirrored(layers.mirrored(image)), image)
