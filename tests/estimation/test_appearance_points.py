"""Samples of photos."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from smirk3d.estimation.appearance_points import bilinear, interpolated


@pytest.mark.parametrize("channels", [(), (3,)])
def test_interpolation_agrees_with_scipy(channels):
    random = np.random.default_rng(2)
    image = random.integers(0, 256, (9, 7, *channels)).astype(np.uint8)
    position_px = random.uniform(-3, 12, (200, 2))  # beyond the border, too
    found = interpolated(image, position_px)
    assert found.shape == (200, *channels)
    row_column = position_px[:, ::-1].T - 0.5
    for k, layer in enumerate(np.moveaxis(image.reshape(9, 7, -1), 2, 0).astype(float)):
        expected = map_coordinates(layer, row_column, order=1, mode="nearest")
        np.testing.assert_allclose(found.reshape(200, -1)[:, k], expected, atol=1e-9)


def test_colors_are_shares_of_white():
    image = np.full((4, 4, 3), 51, np.uint8)
    np.testing.assert_allclose(bilinear(image, np.array([[1.2, 3.3]])), 0.2, atol=1e-7)
