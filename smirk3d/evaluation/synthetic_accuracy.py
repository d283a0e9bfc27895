"""Expression weights against the exact truth, on rendered heads."""

from __future__ import annotations

import numpy as np

from smirk3d.evaluation.method_under_test import MethodUnderTest
from smirk3d.evaluation.report import Result
from smirk3d.evaluation.synthetic_set import SyntheticTestSet
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.metrics.correlation import mean_of_known
from smirk3d.metrics.expression import ExpressionMetrics, expression_metrics
from smirk3d.progress import Progress

BATCH = 32


def expression_result(found: ExpressionMetrics, method: str, faces: int, left_out: int = 0) -> Result:
    """Return the record of expression metrics for a report."""
    figures = {
        "mean_correlation": mean_of_known(found.correlation),
        "mean_error": float(found.error.mean()),
        "asymmetry_slope": found.asymmetry_slope,
        "smile_asymmetry_slope": found.smile_asymmetry_slope,
        "neutral_mean": found.neutral_mean,
        "neutral_max": found.neutral_max,
    }
    actions = {"correlation": found.correlation, "error": found.error, "rms": found.rms}
    return Result("truth", method, faces, figures, actions, left_out, worst_is_low="correlation")


def predict_all(subject: MethodUnderTest, pictures: SyntheticTestSet, display: Progress) -> np.ndarray:
    """Return the weights (N, 52) that a method reads off all pictures, with the detections that come with them."""
    found = []
    for start in range(0, len(pictures), BATCH):
        batch = pictures.face_observations(start, min(start + BATCH, len(pictures)))
        found.append(subject.weights(batch))
        for _ in batch:
            display.advance()
    return np.concatenate(found)


def measure_truth(subject: MethodUnderTest, pictures: SyntheticTestSet, display: Progress) -> Result:
    """Compare what a method says of rendered heads with what they are."""
    weights = predict_all(subject, pictures, display)
    found = expression_metrics(weights, pictures.expression, pictures.kind == "neutral", ARKIT_NAMES)
    return expression_result(found, subject.method, len(pictures), pictures.missed)
