"""Expression weights against the exact truth, on rendered heads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from smirk3d.evaluation.method_under_test import MethodUnderTest
from smirk3d.evaluation.report import Result
from smirk3d.evaluation.synthetic_set import SyntheticTestSet
from smirk3d.head.arkit import ARKIT_MIRROR, ARKIT_NAMES, GAZE_NAMES
from smirk3d.metrics.correlation import correlations, mean_of_known
from smirk3d.progress import Progress

BATCH = 32


@dataclass(frozen=True, eq=False)
class ExpressionMetrics:
    """How well weights were recovered.

    Attributes:
        correlation: (52,) over the pictures; NaN for actions that never vary. error: (52,) mean absolute.
        rms: (52,) root of the mean square error.
        gain: Slope of the answered on the true difference of left and right; 1 is right, 0 evens faces out, below 0
            takes one side for the other. smile_gain: The same of the smile.
        neutral_mean: Mean answer for neutral faces. neutral_strongest: Mean of their largest answer.
    """

    correlation: np.ndarray
    error: np.ndarray
    rms: np.ndarray
    gain: float
    smile_gain: float
    neutral_mean: float
    neutral_strongest: float

    def result(self, method: str, faces: int, left_out: int = 0) -> Result:
        """Return the record for a report."""
        figures = {
            "mean_correlation": mean_of_known(self.correlation),
            "mean_error": float(self.error.mean()),
            "asymmetry_gain": self.gain,
            "smile_gain": self.smile_gain,
            "neutral_mean": self.neutral_mean,
            "neutral_strongest": self.neutral_strongest,
        }
        actions = {"correlation": self.correlation, "error": self.error, "rms": self.rms}
        return Result("truth", method, faces, figures, actions, left_out, worst_is_low="correlation")


def bilateral_pairs() -> tuple[list[int], list[int]]:
    """Return the left and the right indices of the actions that have two sides, gaze aside."""
    left = [
        k
        for k, name in enumerate(ARKIT_NAMES)
        if name.endswith("Left") and name not in GAZE_NAMES and ARKIT_MIRROR[k] != k
    ]
    return left, [ARKIT_MIRROR[k] for k in left]


def expression_metrics(guess: np.ndarray, truth: np.ndarray, kinds: np.ndarray) -> ExpressionMetrics:
    """Compare weights (N, 52) with the true ones (N, 52) of pictures of these kinds (N,)."""
    left, right = bilateral_pairs()
    true_difference, difference = truth[:, left] - truth[:, right], guess[:, left] - guess[:, right]
    smile = left.index(ARKIT_NAMES.index("mouthSmileLeft"))
    calm = guess[kinds == "neutral"]
    return ExpressionMetrics(
        correlation=correlations(guess, truth),
        error=np.abs(guess - truth).mean(axis=0),
        rms=np.sqrt(np.square(guess - truth).mean(axis=0)),
        gain=_slope(difference, true_difference),
        smile_gain=_slope(difference[:, smile], true_difference[:, smile]),
        neutral_mean=float(calm.mean()) if len(calm) else float("nan"),
        neutral_strongest=float(calm.max(axis=1).mean()) if len(calm) else float("nan"),
    )


def _slope(answer: np.ndarray, truth: np.ndarray) -> float:
    """Return the slope of the line through the origin; NaN where the truth is 0 throughout."""
    square = float(np.square(truth).sum())
    return float((answer * truth).sum()) / square if square > 0 else float("nan")


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
    figures = expression_metrics(predict_all(subject, pictures, display), pictures.expression, pictures.kind)
    return figures.result(subject.method, len(pictures), pictures.missed)
