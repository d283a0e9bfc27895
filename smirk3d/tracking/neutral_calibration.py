"""Weights on a person's own range: what is calm for this face is 0, and a closed eye is 1."""

from __future__ import annotations

from typing import Literal

import numpy as np

from smirk3d.head.arkit import ARKIT_NAMES

NeutralCalibration = Literal["none", "neutral", "range"]

NEUTRAL_QUANTILE = 0.1
"""Of the time that a person shows less than this of an action, it is the person's neutral."""
MAX_NEUTRAL = 0.35
"""A face may hold an expression all the time: no more than this is taken for its neutral."""
MIN_BLINK_RANGE = 0.35
"""Range of a blink weight without which the eye may not have closed in the clip."""
BLINK_COLUMNS = tuple(ARKIT_NAMES.index(name) for name in ("eyeBlinkLeft", "eyeBlinkRight"))


def neutral_calibrated(weights: np.ndarray, kind: NeutralCalibration) -> np.ndarray:
    """Return ARKit weights (T, 52) on the person's own range.

    Args:
        weights: (T, 52) in [0, 1], of frames in which the face was found.
        kind: "neutral" takes off what the person always shows; "range" also stretches the blinks so that the most
            closed moments are 1, where the eyes closed at all; "none" leaves everything.
    """
    if kind == "none" or not len(weights):
        return weights
    low = np.quantile(weights, NEUTRAL_QUANTILE, axis=0).clip(0, MAX_NEUTRAL)
    result = ((weights - low) / (1 - low)).clip(0, 1)
    if kind == "range":
        for column in BLINK_COLUMNS:
            high = _closed_eye_weight(result[:, column])
            if high >= MIN_BLINK_RANGE:
                result[:, column] = (result[:, column] / high).clip(0, 1)
    return result


def _closed_eye_weight(blinks: np.ndarray) -> float:
    """Return the weight of the closed eye: a blink is short, so the mean of its peaks and not a share of all time."""
    peak = float(blinks.max())
    is_peak = (blinks[1:-1] >= blinks[:-2]) & (blinks[1:-1] >= blinks[2:]) & (blinks[1:-1] > 0.7 * peak)
    peaks = blinks[1:-1][is_peak]
    return float(np.median(peaks)) if len(peaks) else peak
