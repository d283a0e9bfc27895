"""Figures against the truth: what a perfect, a mirrored and a constant answer get."""

import numpy as np
import pytest
import torch
from evaluation_faces import Silent

from smirk3d.datasets.synthetic.scene_sampling import random_expression
from smirk3d.evaluation.synthetic_accuracy import expression_metrics, measure_truth
from smirk3d.evaluation.synthetic_set import SyntheticTestSet
from smirk3d.head.arkit import ARKIT_MIRROR, ARKIT_NAMES
from smirk3d.metrics.correlation import correlations, mean_of_known

KINDS = np.array(["neutral", "single", "one_sided", "combination"] * 150)


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    generator = torch.Generator().manual_seed(0)
    return torch.stack([random_expression(str(kind), generator) for kind in KINDS]).numpy()  # type: ignore[arg-type]


def test_a_perfect_answer(truth):
    found = expression_metrics(truth, truth, KINDS)
    assert np.allclose(found.correlation[~np.isnan(found.correlation)], 1) and (~np.isnan(found.correlation)).sum() > 45
    assert found.error.max() == found.rms.max() == 0
    assert found.gain == pytest.approx(1) and found.smile_gain == pytest.approx(1)
    assert found.neutral_mean == found.neutral_strongest == 0


def test_a_mirrored_answer_has_a_negative_gain(truth):
    found = expression_metrics(truth[:, list(ARKIT_MIRROR)], truth, KINDS)
    assert found.gain == pytest.approx(-1) and found.smile_gain == pytest.approx(-1)


def test_half_an_answer_correlates_and_has_half_the_gain(truth):
    found = expression_metrics(0.5 * truth, truth, KINDS)
    assert mean_of_known(found.correlation) == pytest.approx(1)
    assert found.gain == pytest.approx(0.5)
    assert found.error == pytest.approx(0.5 * truth.mean(0), abs=1e-6)


def test_a_constant_answer_has_no_correlation(truth):
    found = expression_metrics(np.full_like(truth, 0.25), truth, KINDS)
    assert set(found.correlation[~np.isnan(found.correlation)]) == {0.0}
    assert found.gain == 0 and found.neutral_mean == pytest.approx(0.25)


def test_correlations_are_those_of_numpy():
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, 30, 4))
    expected = [np.corrcoef(a[:, k], b[:, k])[0, 1] for k in range(4)]
    assert correlations(a, b) == pytest.approx(expected)
    b[:, 1] = 3
    assert np.isnan(correlations(a, b)).tolist() == [False, True, False, False]
    with pytest.raises(ValueError, match="shapes"):
        correlations(a, b[:-1])


def test_measured_in_batches_in_order(truth):
    """Each picture's first pixels hold the row's number: a subject that looks the truth up is perfect."""
    count = 70
    pixels = np.zeros((count, 2, 2, 3), np.uint8)
    pixels[:, 0, 0, 0] = np.arange(count)

    class Oracle:
        method = "fit"

        def weights(self, face_observations):
            return np.stack([truth[photo.pixels[0, 0, 0]] for photo, _ in face_observations])

    points = np.random.default_rng(0).uniform(size=(count, 478, 2)).astype(np.float32)
    empty = np.zeros((count, 478), np.float32)
    rotmat = np.broadcast_to(np.eye(3), (count, 3, 3))
    scores = np.zeros((count, 52), np.float32)
    pictures = SyntheticTestSet(
        pixels, truth[:count], KINDS[:count], rotmat, points, empty, scores, np.ones(count), missed=2
    )
    display = Silent()
    result = measure_truth(Oracle(), pictures, display)  # type: ignore[arg-type]
    assert (result.faces, result.left_out, display.count) == (count, 2, count)
    assert result.figures["mean_correlation"] == pytest.approx(1) and result.figures["mean_error"] == 0
    assert set(result.actions) == {"correlation", "error", "rms"}
    assert all(len(column) == len(ARKIT_NAMES) for column in result.actions.values())
