"""Expression metrics of perfect, mirrored, weak and constant predictions."""

import numpy as np
import pytest
import torch

from smirk3d.datasets.synthetic.scene_sampling import random_expression
from smirk3d.head.arkit import ARKIT_MIRROR, ARKIT_NAMES, GAZE_NAMES
from smirk3d.metrics.correlation import mean_of_known
from smirk3d.metrics.expression import bilateral_pairs, expression_metrics, slope_through_origin

KINDS = np.array(["neutral", "single", "one_sided", "combination"] * 150)
IS_NEUTRAL = KINDS == "neutral"


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    generator = torch.Generator().manual_seed(0)
    return torch.stack([random_expression(str(kind), generator) for kind in KINDS]).numpy()  # type: ignore[arg-type]


def test_a_perfect_prediction(truth):
    found = expression_metrics(truth, truth, IS_NEUTRAL, ARKIT_NAMES)
    assert np.allclose(found.correlation[~np.isnan(found.correlation)], 1) and (~np.isnan(found.correlation)).sum() > 45
    assert found.error.max() == found.rms.max() == 0
    assert found.asymmetry_slope == pytest.approx(1) and found.smile_asymmetry_slope == pytest.approx(1)
    assert found.neutral_mean == found.neutral_max == 0


def test_mirrored_predictions_have_a_negative_slope(truth):
    found = expression_metrics(truth[:, list(ARKIT_MIRROR)], truth, IS_NEUTRAL, ARKIT_NAMES)
    assert found.asymmetry_slope == pytest.approx(-1) and found.smile_asymmetry_slope == pytest.approx(-1)


def test_half_the_truth_correlates_and_has_half_the_slope(truth):
    found = expression_metrics(0.5 * truth, truth, IS_NEUTRAL, ARKIT_NAMES)
    assert mean_of_known(found.correlation) == pytest.approx(1)
    assert found.asymmetry_slope == pytest.approx(0.5)
    assert found.error == pytest.approx(0.5 * truth.mean(0), abs=1e-6)


def test_a_constant_prediction_has_no_correlation(truth):
    found = expression_metrics(np.full_like(truth, 0.25), truth, IS_NEUTRAL, ARKIT_NAMES)
    assert set(found.correlation[~np.isnan(found.correlation)]) == {0.0}
    assert found.asymmetry_slope == 0 and found.neutral_mean == pytest.approx(0.25)


def test_bilateral_pairs_are_mirror_images_without_gaze():
    left, right = bilateral_pairs(ARKIT_NAMES)
    expected = {name for name in ARKIT_NAMES if name.endswith("Left")} - set(GAZE_NAMES)
    assert {ARKIT_NAMES[k] for k in left} == expected and "jawLeft" in expected
    assert right == [ARKIT_MIRROR[k] for k in left]


def test_slope_of_nothing_is_not_a_number():
    assert np.isnan(slope_through_origin(np.ones(3), np.zeros(3)))
    assert slope_through_origin(np.array([1.0, 3.0]), np.array([2.0, 6.0])) == 0.5
