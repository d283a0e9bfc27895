"""Jitter over time."""

import numpy as np
import pytest

from smirk3d.metrics.stability import jitter_std


def test_jitter_is_the_deviation_over_time():
    weights = np.zeros((3, 4, 52))
    weights[:, ::2, 7] = 0.2  # to and fro by ±0.1
    weights[1] += 0.5  # another face, which does not move
    assert jitter_std(weights)[7] == pytest.approx(0.1) and jitter_std(weights).sum() == pytest.approx(0.1)
