"""Landmark error, normalised by the distance of the eyes."""

from __future__ import annotations

import numpy as np


def landmark_error_percent(
    points_px: np.ndarray, truth_px: np.ndarray, *, eye_corners: tuple[int, int], count: int | None = None
) -> np.ndarray:
    """Return the mean point-to-point error of each face, % of the distance between the outer eye corners.

    The normalised mean error of face alignment, by the inter-ocular distance; source: Sagonas et al., "300 Faces
    In-the-Wild Challenge", ICCV Workshops 2013.

    Args:
        points_px: (B, L, 2) predicted landmarks, pixels.
        truth_px: (B, L, 2) true landmarks, pixels.
        eye_corners: Indices of the two outer eye corners.
        count: Only the first landmarks up to this number count; all by default.

    Returns:
        (B,) float >= 0.
    """
    distance = np.linalg.norm(points_px[:, :count] - truth_px[:, :count], axis=-1).mean(axis=1)
    right, left = (truth_px[:, index] for index in eye_corners)
    return 100 * distance / np.linalg.norm(right - left, axis=-1)


def error_summary(error_percent: np.ndarray) -> dict[str, float]:
    """Return mean, median and 95th percentile by name.

    Args:
        error_percent: (N,) errors, %.

    Returns:
        `mean_percent`, `median_percent` and `p95_percent`.
    """
    return {
        "mean_percent": float(error_percent.mean()),
        "median_percent": float(np.median(error_percent)),
        "p95_percent": float(np.quantile(error_percent, 0.95)),
    }
