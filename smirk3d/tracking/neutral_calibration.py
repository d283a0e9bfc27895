"""Calibration of ARKit weights to one person: the neutral face has weight 0, and a closed eye has weight 1."""

from __future__ import annotations

from typing import Literal

import numpy as np

from smirk3d.estimation.personal_rest import resting_weights, without_rest
from smirk3d.head.arkit import ARKIT_NAMES

NeutralCalibration = Literal["none", "rest", "neutral", "range"]

NEUTRAL_QUANTILE = 0.1
"""Quantile of a weight over the clip that is taken for its value in the neutral face."""
MAX_NEUTRAL = 0.35
"""Limit of that value, since a person may hold an expression for the whole clip."""
MIN_BLINK_RANGE = 0.35
"""Range of a blink weight below which the eye may not have closed in the clip."""
MIN_PEAK_SHARE = 0.7
"""Local maxima below this share of the largest are no full closures."""
BLINK_COLUMNS = tuple(ARKIT_NAMES.index(name) for name in ("eyeBlinkLeft", "eyeBlinkRight"))


def neutral_calibrated(weights: np.ndarray, kind: NeutralCalibration) -> np.ndarray:
    """Return ARKit weights (T, 52) in [0, 1], calibrated to the person.

    Args:
        weights: (T, 52) in [0, 1], of the frames in which the face was detected.
        kind: "rest" takes off the resting face, what lids, brows and mouth show in the most neutral frames; "neutral"
            subtracts the person's neutral face and rescales to [0, 1]; "range" also rescales each blink weight so that
            a closed eye has weight 1, where the eye closed at all; "none" changes nothing.
    """
    if kind == "none" or not len(weights):
        return weights
    if kind == "rest":
        return without_rest(weights, resting_weights(weights))
    neutral = np.quantile(weights, NEUTRAL_QUANTILE, axis=0).clip(0, MAX_NEUTRAL)
    result = without_rest(weights, neutral)
    if kind == "range":
        for column in BLINK_COLUMNS:
            closed = _closed_eye_weight(result[:, column])
            if closed >= MIN_BLINK_RANGE:
                result[:, column] = (result[:, column] / closed).clip(0, 1)
    return result


def _closed_eye_weight(blink: np.ndarray) -> float:
    """Return the blink weight of the closed eye, from weights (T,)."""
    # Blinks are a small and varying share of the time, so a quantile over all frames would depend on the blink rate.
    largest = float(blink.max())
    inner = blink[1:-1]
    is_peak = (inner >= blink[:-2]) & (inner >= blink[2:]) & (inner > MIN_PEAK_SHARE * largest)
    peaks = inner[is_peak]
    return float(np.median(peaks)) if len(peaks) else largest
