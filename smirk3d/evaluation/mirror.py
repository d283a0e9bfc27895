"""Equivariance: the expression of a mirrored photo should be the mirrored expression."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from smirk3d.detection.detector import Detection
from smirk3d.estimation.estimator import FaceObservation
from smirk3d.evaluation.data import EvaluationData
from smirk3d.evaluation.method_under_test import MethodUnderTest
from smirk3d.evaluation.photos import PhotoFiles, PhotoSet
from smirk3d.evaluation.result import Figure, MeasureNotApplicableError, Result, values_of
from smirk3d.head.arkit import ARKIT_MIRROR
from smirk3d.head.landmark_indices import MIRROR
from smirk3d.media.images import Photo
from smirk3d.metrics.mirror import mirror_difference
from smirk3d.progress import Progress

FIGURES = (Figure("mean_difference", better="lower"), Figure("mean_weight"))


class MirrorMeasure:
    """See `measure_mirror`; with --photos on photos without annotations."""

    name = "mirror"
    summary = "difference of the weights of a photo and of its mirror image, left and right exchanged"
    needs = frozenset({"faces"})
    figures = FIGURES
    is_default = True

    def run(self, method: MethodUnderTest, data: EvaluationData) -> Iterator[Result]:
        """Yield one result."""
        photos = data.photos if data.options.photos is None else data.photo_files
        with data.progress(self.name, len(photos)) as display:
            yield measure_mirror(method, photos, display)


def mirrored(face: FaceObservation) -> FaceObservation:
    """Return the mirror image of a photo, and what a perfectly symmetric detector would find in it."""
    photo, detection = face.photo, face.detection
    width, _ = photo.size
    points = detection.landmarks_px[list(MIRROR)] * np.array([-1, 1], np.float32) + np.array([width, 0], np.float32)
    found = Detection(
        landmarks_px=points,
        depth=detection.depth[list(MIRROR)],
        blendshape_scores=detection.blendshape_scores[list(ARKIT_MIRROR)],
        box_px=np.concatenate([points.min(axis=0), points.max(axis=0)]),
        score=detection.score,
    )
    return FaceObservation(Photo(np.ascontiguousarray(photo.pixels[:, ::-1])), found)


def measure_mirror(method: MethodUnderTest, photos: PhotoSet | PhotoFiles, display: Progress) -> Result:
    """Compare the weights of photos with those of their mirror images.

    Args:
        method: Method under test.
        photos: Faces.
        display: Counts the faces.

    Raises:
        MeasureNotApplicableError: In no photo a face is found both in itself and in its mirror image.
    """
    own, other = [], []
    for batch in photos.batches():
        pairs = [(method.observe(face), method.observe(mirrored(face))) for face in batch]
        found = [(one, two) for one, two in pairs if one is not None and two is not None]
        if found:
            own.append(method.weights([one for one, _ in found]))
            other.append(method.weights([two for _, two in found]))
        for _ in batch:
            display.advance()
    if not own:
        raise MeasureNotApplicableError("no face was found in any of the photos")
    weights, of_mirrored = np.concatenate(own), np.concatenate(other)
    difference = mirror_difference(weights, of_mirrored, ARKIT_MIRROR)
    numbers = {"mean_difference": float(difference.mean()), "mean_weight": float(weights.mean())}
    return Result(
        "mirror",
        method.method,
        len(weights),
        values_of(FIGURES, numbers),
        {"difference": difference},
        left_out=len(photos) - len(weights),
    )
