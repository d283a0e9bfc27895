"""Lips that are closed in the photo: how often those of the mesh are closed too."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from smirk3d.evaluation.data import EvaluationData
from smirk3d.evaluation.method_under_test import MethodUnderTest
from smirk3d.evaluation.photos import PhotoFiles, PhotoSet
from smirk3d.evaluation.result import Figure, MeasureNotApplicableError, Result, values_of
from smirk3d.head.landmark_indices import OUTER_EYE_CORNERS
from smirk3d.progress import Progress

CLOSED_BELOW = 0.02
"""Openings of the lips that count as closed, in units of the distance between the outer eye corners in the photo."""
MIDDLE_OF_LIPS = (13, 14)
FIGURES = (
    Figure("closed_photos"),
    Figure("closed_share", better="higher"),
    Figure("median_opening", better="lower"),
    Figure("p95_opening", better="lower"),
)


class ClosedLipsMeasure:
    """See `measure_closed_lips`; with --photos on photos without annotations."""

    name = "closed-lips"
    summary = "how often the mesh's lips are closed where the detector's landmarks of the photo are"
    needs = frozenset({"faces"})
    figures = FIGURES
    is_default = False

    def run(self, method: MethodUnderTest, data: EvaluationData) -> Iterator[Result]:
        """Yield one result."""
        photos = data.photos if data.options.photos is None else data.photo_files
        with data.progress(self.name, len(photos)) as display:
            yield measure_closed_lips(method, photos, display)


def measure_closed_lips(method: MethodUnderTest, photos: PhotoSet | PhotoFiles, display: Progress) -> Result:
    """Compare the opening of the mesh's lips in the photo with that of the landmarks.

    Args:
        method: Method under test.
        photos: Faces.
        display: Counts the faces.

    Raises:
        MeasureNotApplicableError: In no photo lips are closed.
    """
    in_photo, of_mesh, count = [], [], 0
    for batch in photos.batches():
        found = [each for each in map(method.observe, batch) if each is not None]
        if found:
            detected_px = np.stack([each.detection.landmarks_px for each in found])
            unit_px = np.linalg.norm(np.diff(detected_px[:, OUTER_EYE_CORNERS], axis=1)[:, 0], axis=1)
            in_photo.append(lip_openings_px(detected_px) / unit_px)
            of_mesh.append(lip_openings_px(method.landmarks_px(found)) / unit_px)
            count += len(found)
        for _ in batch:
            display.advance()
    is_closed = np.concatenate(in_photo) < CLOSED_BELOW if in_photo else np.zeros(0, bool)
    if not is_closed.any():
        raise MeasureNotApplicableError("in no photo the lips are closed")
    openings = np.concatenate(of_mesh)[is_closed]
    numbers = {
        "closed_photos": len(openings),
        "closed_share": float((openings < CLOSED_BELOW).mean()),
        "median_opening": float(np.median(openings)),
        "p95_opening": float(np.quantile(openings, 0.95)),
    }
    return Result("closed-lips", method.method, count, values_of(FIGURES, numbers), left_out=len(photos) - count)


def lip_openings_px(landmarks_px: np.ndarray) -> np.ndarray:
    """Return the distances (N,) of the lips' inner rims in the middle, for landmarks (N, 478, 2)."""
    upper, lower = MIDDLE_OF_LIPS
    return np.linalg.norm(landmarks_px[:, upper] - landmarks_px[:, lower], axis=1)
