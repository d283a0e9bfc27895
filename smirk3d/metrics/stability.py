"""Jitter of predictions over time."""

from __future__ import annotations

import numpy as np


def jitter_std(weights: np.ndarray) -> np.ndarray:
    """Return the standard deviation of each weight over time, mean over the clips.

    Args:
        weights: (N, T, K) blendshape weights of N clips of T frames in which the face does not move.

    Returns:
        (K,) float >= 0.
    """
    return weights.std(axis=1).mean(axis=0)
