"""Whether a mirrored photo gives the mirrored expression."""

from __future__ import annotations

import numpy as np

from smirk3d.detection.detector import Detection
from smirk3d.estimation.estimator import FaceObservation
from smirk3d.evaluation.method_under_test import MethodUnderTest
from smirk3d.evaluation.photos import PhotoSet
from smirk3d.evaluation.report import MeasureNotApplicableError, Result
from smirk3d.head.arkit import ARKIT_MIRROR
from smirk3d.head.landmark_indices import MIRROR
from smirk3d.media.images import Photo
from smirk3d.metrics.mirror import mirror_difference
from smirk3d.progress import Progress


def mirrored(photo: Photo, detection: Detection) -> FaceObservation:
    """Return the mirror image of a photo, and what a perfectly symmetric detector would find in it."""
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


def mirror_result(method: str, own: np.ndarray, of_mirrored: np.ndarray, left_out: int = 0) -> Result:
    """Return the figures of weights (N, 52) of photos and of their mirror images."""
    each = mirror_difference(own, of_mirrored, ARKIT_MIRROR)
    figures = {"mean_difference": float(each.mean()), "mean_weight": float(own.mean())}
    return Result("mirror", method, len(own), figures, {"difference": each}, left_out)


def measure_mirror(subject: MethodUnderTest, photos: PhotoSet, display: Progress) -> Result:
    """Compare the weights of photos with those of their mirror images.

    Raises:
        CannotMeasureError: No photo and its mirror image show a face both.
    """
    own, other = [], []
    for batch in photos.batches():
        flipped = [mirrored(each.photo, each.detection) for each in batch]
        pairs = [
            (subject.look(one.photo, one.detection), subject.look(two.photo, two.detection))
            for one, two in zip(batch, flipped)
        ]
        found = [(one, two) for one, two in pairs if one is not None and two is not None]
        if found:
            own.append(subject.weights([one for one, _ in found]))
            other.append(subject.weights([two for _, two in found]))
        for _ in batch:
            display.advance()
    if not own:
        raise MeasureNotApplicableError("no face was found in any of the photos")
    first, second = np.concatenate(own), np.concatenate(other)
    return mirror_result(subject.method, first, second, len(photos) - len(first))
