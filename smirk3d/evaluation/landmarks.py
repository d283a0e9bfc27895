"""How closely reconstructed heads follow known landmarks."""

from __future__ import annotations

import numpy as np

from smirk3d.evaluation.method_under_test import MethodUnderTest
from smirk3d.evaluation.photos import PhotoSet
from smirk3d.evaluation.report import MeasureNotApplicableError, Result
from smirk3d.head.landmark_indices import OUTER_EYE_CORNERS, SKIN_COUNT
from smirk3d.progress import Progress


def landmark_error_percent(points_px: np.ndarray, given_px: np.ndarray) -> np.ndarray:
    """Return the mean distance of the landmarks of the skin, % of the distance of the outer eye corners.

    Args:
        points_px: (B, 478, 2) MediaPipe's points of the reconstructed heads. given_px: Where they are known to be.

    Returns:
        (B,) float >= 0.
    """
    distance = np.linalg.norm(points_px[:, :SKIN_COUNT] - given_px[:, :SKIN_COUNT], axis=-1).mean(axis=1)
    right, left = (given_px[:, index] for index in OUTER_EYE_CORNERS)
    return 100 * distance / np.linalg.norm(right - left, axis=-1)


def error_figures(error_percent: np.ndarray) -> dict[str, float]:
    """Return mean, median and 95th percentile of errors (N,) by name."""
    return {
        "mean_percent": float(error_percent.mean()),
        "median_percent": float(np.median(error_percent)),
        "p95_percent": float(np.quantile(error_percent, 0.95)),
    }


def measure_landmarks(subject: MethodUnderTest, photos: PhotoSet, display: Progress) -> Result:
    """Compare with the landmarks that come with the photos.

    Raises:
        CannotMeasureError: No face is found in any photo.
    """
    errors = []
    for batch in photos.batches():
        pairs = [(seen, known) for photo, known in batch if (seen := subject.look(photo, known)) is not None]
        if pairs:
            points_px = subject.landmarks_px([seen for seen, _ in pairs])
            errors.append(landmark_error_percent(points_px, np.stack([known.landmarks_px for _, known in pairs])))
        for _ in batch:
            display.advance()
    if not errors:
        raise MeasureNotApplicableError("no face was found in any of the photos")
    error = np.concatenate(errors)
    return Result("landmarks", subject.method, len(error), error_figures(error), left_out=len(photos) - len(error))
