"""Landmark error of the landmark fit on annotated landmarks, without detecting anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from smirk3d.datasets.landmark_annotations import LandmarkAnnotations, read_landmark_annotations
from smirk3d.evaluation.data import EvaluationData
from smirk3d.evaluation.landmarks import ERROR_FIGURES
from smirk3d.evaluation.method_under_test import MethodUnderTest
from smirk3d.evaluation.result import Figure, MeasureNotApplicableError, Result, values_of
from smirk3d.face import Face
from smirk3d.head.landmark_indices import OUTER_EYE_CORNERS, SKIN_COUNT
from smirk3d.metrics.landmark import error_summary, landmark_error_percent

BATCH = 64
FIGURES = (
    *ERROR_FIGURES,
    Figure("mean_abs_shape"),
    Figure("max_face_abs_shape"),
    Figure("max_abs_shape"),
    Figure("min_weight"),
    Figure("max_weight"),
    Figure("mean_weight"),
)


class LandmarkFitMeasure:
    """See `landmark_fit_result`; --focal, --no-scores and --head apply."""

    name = "landmark-fit"
    summary = "landmark error of the fit to annotated landmarks, size of the shape coefficients, weights by emotion"
    needs = frozenset({"annotations", "fit"})
    figures = FIGURES
    is_default = False

    def run(self, method: MethodUnderTest, data: EvaluationData) -> Iterator[Result]:
        """Yield one result."""
        annotations = read_landmark_annotations(data.folder, data.options.split)
        count = min(data.options.count, len(annotations.photos))
        if not count:
            raise MeasureNotApplicableError(f"no annotated face is of the split {data.options.split}")
        annotations = LandmarkAnnotations(
            annotations.keys[:count], annotations.emotions[:count], annotations.photos[:count]
        )
        reconstructor, faces = data.reconstructor(), []
        with data.progress(self.name, count) as display:
            for start in range(0, count, BATCH):
                faces += [found[0] for found in reconstructor.solve(annotations.photos[start : start + BATCH])]
                for _ in range(start, len(faces)):
                    display.advance()
        yield landmark_fit_result(annotations, faces)


def landmark_fit_result(annotations: LandmarkAnnotations, faces: Sequence[Face]) -> Result:
    """Compare the landmarks of fitted heads with the annotated ones.

    Args:
        annotations: N annotated faces.
        faces: The N fitted faces.
    """
    truth_px = np.stack([photo.detections[0].landmarks_px for photo in annotations.photos])
    points_px = np.stack([face.landmarks("mediapipe") for face in faces])
    error = landmark_error_percent(points_px, truth_px, eye_corners=OUTER_EYE_CORNERS, count=SKIN_COUNT)
    shape = np.abs(np.stack([face.shape for face in faces]))
    weights = np.stack([list(face.arkit.values()) for face in faces])
    numbers = {
        **error_summary(error),
        "mean_abs_shape": float(shape.mean()),
        "max_face_abs_shape": float(shape.mean(1).max()),
        "max_abs_shape": float(shape.max()),
        "min_weight": float(weights.min()),
        "max_weight": float(weights.max()),
        "mean_weight": float(weights.mean()),
    }
    emotions = np.array(annotations.emotions)
    columns = {f"mean_{name}": weights[emotions == name].mean(0) for name in sorted({*emotions.tolist()} - {""})}
    by_sample = dict(zip(annotations.keys, error.tolist()))
    return Result("landmark-fit", "fit", len(faces), values_of(FIGURES, numbers), columns, by_sample, worst="")
