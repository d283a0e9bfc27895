"""Bar plots: lengths and fitted names."""

from __future__ import annotations

import numpy as np
import pytest

from smirk3d.viz.bars import BAR_COLOR, bar_plot


def test_bars_are_as_long_as_their_weights():
    image = bar_plot([("jawOpen", 1.0), ("cheekPuff", 0.5), ("tongueOut", 0.0)], (300, 400), slots=6)
    lengths = (image == np.array(BAR_COLOR, np.uint8)).all(axis=2).sum(axis=1)
    long, half = lengths.max(), np.unique(lengths)[1]
    assert half == pytest.approx(long / 2, abs=2) and np.unique(lengths)[0] == 0
    assert image.shape == (300, 400, 3)


@pytest.mark.parametrize("size", [(512, 384), (200, 150), (700, 200)])
def test_long_names_are_not_cut(size):
    image = bar_plot([("mouthLowerDownRight", 0.5)], size, title="yaw -25°  pitch -13°  confidence 0.93")
    assert (image[:, 0] == 255).all() and (image[:, -1] == 255).all()
    assert (image < 128).any()
