"""Landmark error of heads reconstructed from photos with known landmarks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from smirk3d.evaluation.data import EvaluationData
from smirk3d.evaluation.method_under_test import MethodUnderTest
from smirk3d.evaluation.photos import PhotoSet
from smirk3d.evaluation.result import Figure, MeasureNotApplicableError, Result, values_of
from smirk3d.head.landmark_indices import OUTER_EYE_CORNERS, SKIN_COUNT
from smirk3d.metrics.landmark import error_summary, landmark_error_percent
from smirk3d.progress import Progress

ERROR_FIGURES = tuple(Figure(name, "%", "lower") for name in ("mean_percent", "median_percent", "p95_percent"))


class LandmarkMeasure:
    """See `measure_landmarks`."""

    name = "landmarks"
    summary = "landmark error on photos, % of the distance of the outer eye corners"
    needs = frozenset({"data"})
    figures = ERROR_FIGURES
    is_default = True

    def run(self, method: MethodUnderTest, data: EvaluationData) -> Iterator[Result]:
        """Yield one result."""
        photos = data.photos
        with data.progress(self.name, len(photos)) as display:
            yield measure_landmarks(method, photos, display)


def measure_landmarks(method: MethodUnderTest, photos: PhotoSet, display: Progress) -> Result:
    """Compare the landmarks of reconstructed heads with those that come with the photos.

    Args:
        method: Method under test.
        photos: Faces with known landmarks.
        display: Counts the faces.

    Raises:
        MeasureNotApplicableError: No face is found in any photo.
    """
    errors = []
    for batch in photos.batches():
        pairs = [(found, known.detection) for known in batch if (found := method.observe(known)) is not None]
        if pairs:
            points_px = method.landmarks_px([found for found, _ in pairs])
            known_px = np.stack([known.landmarks_px for _, known in pairs])
            errors.append(landmark_error_percent(points_px, known_px, eye_corners=OUTER_EYE_CORNERS, count=SKIN_COUNT))
        for _ in batch:
            display.advance()
    if not errors:
        raise MeasureNotApplicableError("no face was found in any of the photos")
    error = np.concatenate(errors)
    values = values_of(ERROR_FIGURES, error_summary(error))
    return Result("landmarks", method.method, len(error), values, left_out=len(photos) - len(error))
