"""Painted brows against the landmarks of the brows."""

from __future__ import annotations

import numpy as np
import pytest

from smirk3d.authoring.appearance_sources import TexelMap
from smirk3d.authoring.brow_alignment import aligned_brows, landmark_line, painted_line
from smirk3d.render.appearance.appearance_model import OPACITIES, appearance_model
from smirk3d.render.appearance.skin_layout import TEXTURE_SIZE

QUARTER = (TEXTURE_SIZE[0] // 4, TEXTURE_SIZE[1] // 4)


def on_left(texels: TexelMap, opacity: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    values = opacity[texels.covered]
    x, y, z = texels.points.T
    used = (x > 0) & (z > 0.06) & (values > 0.05)
    return x[used], y[used], values[used]


@pytest.mark.parametrize("name", ["brows_thin", "brows_medium", "brows_thick"])
def test_packaged_brows_lie_between_the_landmarks(open_head, name):
    texels = TexelMap(open_head, QUARTER)
    opacity = appearance_model(2).opacity[OPACITIES.index(name)].reshape(QUARTER)
    line, target = painted_line(*on_left(texels, opacity)), landmark_line(texels)
    aside = np.linspace(*target.ends_m, 9)[1:-1]
    assert np.abs(line.height_m(aside) - target.height_m(aside)).max() < 0.0015
    assert np.abs(np.array(line.ends_m) - target.ends_m).max() < 0.004


def test_a_low_and_short_brow_is_moved(open_head):
    texels = TexelMap(open_head, QUARTER)
    x, y, z = texels.points.T
    band = np.exp(-(((y - 0.028) / 0.002) ** 2)) * (np.abs(x) > 0.015) * (np.abs(x) < 0.045) * (z > 0.11)
    moved = aligned_brows(texels.image(band[:, None])[..., 0], texels)
    line, target = painted_line(*on_left(texels, moved)), landmark_line(texels)
    aside = np.linspace(*target.ends_m, 9)[1:-1]
    assert np.abs(line.height_m(aside) - target.height_m(aside)).max() < 0.002
    assert moved.min() >= 0 and moved.max() <= 1
