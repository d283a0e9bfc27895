"""Measures of pictures against an independent implementation."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.data import astronaut
from skimage.metrics import structural_similarity as oracle

from smirk3d.metrics.pictures import squared_error, structural_similarity


def test_structural_similarity_is_that_of_scikit_image() -> None:
    truth = astronaut()[80:200, 160:290]
    random = np.random.default_rng(0)
    found = (truth + random.normal(0, 20, truth.shape)).clip(0, 255).astype(np.uint8)
    options = {"channel_axis": 2, "gaussian_weights": True, "use_sample_covariance": False, "sigma": 1.5}
    wanted = oracle(found, truth, data_range=255, **options)
    assert structural_similarity(found, truth) == pytest.approx(wanted, abs=1e-6)
    assert structural_similarity(truth, truth) == pytest.approx(1)


def test_the_squared_error_is_of_colours_up_to_one() -> None:
    black, white = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)
    assert squared_error(black, white) == 1 and squared_error(white, white) == 0
