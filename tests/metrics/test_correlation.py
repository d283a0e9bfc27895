"""Correlation by column."""

import numpy as np
import pytest

from smirk3d.metrics.correlation import correlations, mean_of_known


def test_correlations_are_those_of_numpy():
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, 30, 4))
    expected = [np.corrcoef(a[:, k], b[:, k])[0, 1] for k in range(4)]
    assert correlations(a, b) == pytest.approx(expected)
    b[:, 1] = 3
    assert np.isnan(correlations(a, b)).tolist() == [False, True, False, False]
    with pytest.raises(ValueError, match="same shape"):
        correlations(a, b[:-1])


def test_mean_of_known_leaves_out_what_is_not_defined():
    assert mean_of_known(np.array([1.0, np.nan, 3.0])) == 2
    assert np.isnan(mean_of_known(np.array([np.nan])))
