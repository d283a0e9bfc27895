"""Predicted blendshape weights against the ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from smirk3d.metrics.correlation import correlations

GAZE_PREFIX = "eyeLook"
SMILE = "mouthSmileLeft"


@dataclass(frozen=True, eq=False)
class ExpressionMetrics:
    """How well K blendshape weights are predicted over N faces.

    Attributes:
        correlation: (K,) Pearson's correlation over the faces; NaN for weights that never vary.
        error: (K,) mean absolute error.
        rms: (K,) root mean square error.
        asymmetry_slope: Slope of the predicted on the true difference between left and right. 1 is right, 0 means
            symmetric predictions, below 0 the sides are swapped.
        smile_asymmetry_slope: The same of the smile alone.
        neutral_mean: Mean weight predicted for neutral faces; NaN where there are none.
        neutral_max: Largest weight predicted for a neutral face, mean over them; NaN where there are none.
    """

    correlation: np.ndarray
    error: np.ndarray
    rms: np.ndarray
    asymmetry_slope: float
    smile_asymmetry_slope: float
    neutral_mean: float
    neutral_max: float


def bilateral_pairs(names: Sequence[str]) -> tuple[list[int], list[int]]:
    """Return the left and the right indices of the blendshapes that come in pairs, gaze aside.

    Args:
        names: ARKit names of the blendshapes; those of a pair end in `Left` and `Right`.

    Returns:
        Indices of the left ones, and of the right ones in the same order.
    """
    left = [
        index
        for index, name in enumerate(names)
        if name.endswith("Left") and not name.startswith(GAZE_PREFIX) and _opposite(name) in names
    ]
    return left, [names.index(_opposite(names[index])) for index in left]


def _opposite(name: str) -> str:
    return name.removesuffix("Left") + "Right"


def expression_metrics(
    prediction: np.ndarray, truth: np.ndarray, is_neutral: np.ndarray, names: Sequence[str]
) -> ExpressionMetrics:
    """Compare predicted weights with the true ones.

    Args:
        prediction: (N, K) weights in [0, 1].
        truth: (N, K) weights in [0, 1].
        is_neutral: (N,) bool, which faces are neutral.
        names: The K ARKit names.
    """
    left, right = bilateral_pairs(names)
    true_difference, difference = truth[:, left] - truth[:, right], prediction[:, left] - prediction[:, right]
    smile = left.index(names.index(SMILE))
    neutral = prediction[is_neutral]
    return ExpressionMetrics(
        correlation=correlations(prediction, truth),
        error=np.abs(prediction - truth).mean(axis=0),
        rms=np.sqrt(np.square(prediction - truth).mean(axis=0)),
        asymmetry_slope=slope_through_origin(difference, true_difference),
        smile_asymmetry_slope=slope_through_origin(difference[:, smile], true_difference[:, smile]),
        neutral_mean=float(neutral.mean()) if len(neutral) else float("nan"),
        neutral_max=float(neutral.max(axis=1).mean()) if len(neutral) else float("nan"),
    )


def slope_through_origin(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Return the least-squares slope of the line through the origin, sum(p t) / sum(t t).

    Args:
        prediction: (...) float.
        truth: (...) float, the same shape.

    Returns:
        The slope; NaN where the truth is 0 throughout.
    """
    square = float(np.square(truth).sum())
    return float((prediction * truth).sum()) / square if square > 0 else float("nan")
