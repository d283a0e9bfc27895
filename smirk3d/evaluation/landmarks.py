"""How closely reconstructed heads follow known landmarks."""

from __future__ import annotations

import numpy as np

from smirk3d.evaluation.method_under_test import MethodUnderTest
from smirk3d.evaluation.photos import PhotoSet
from smirk3d.evaluation.report import MeasureNotApplicableError, Result
from smirk3d.head.landmark_indices import OUTER_EYE_CORNERS, SKIN_COUNT
from smirk3d.metrics.landmark import error_summary, landmark_error_percent
from smirk3d.progress import Progress


def measure_landmarks(subject: MethodUnderTest, photos: PhotoSet, display: Progress) -> Result:
    """Compare with the landmarks that come with the photos.

    Raises:
        CannotMeasureError: No face is found in any photo.
    """
    errors = []
    for batch in photos.batches():
        looks = [(subject.look(each.photo, each.detection), each.detection) for each in batch]
        pairs = [(seen, known) for seen, known in looks if seen is not None]
        if pairs:
            points_px = subject.landmarks_px([seen for seen, _ in pairs])
            known_px = np.stack([known.landmarks_px for _, known in pairs])
            errors.append(landmark_error_percent(points_px, known_px, eye_corners=OUTER_EYE_CORNERS, count=SKIN_COUNT))
        for _ in batch:
            display.advance()
    if not errors:
        raise MeasureNotApplicableError("no face was found in any of the photos")
    error = np.concatenate(errors)
    return Result("landmarks", subject.method, len(error), error_summary(error), left_out=len(photos) - len(error))
