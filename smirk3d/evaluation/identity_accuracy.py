"""Neutral meshes of rendered people against the true ones: errors, and what expressions do to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np

from smirk3d.datasets.synthetic.rendered_people import EXPRESSIONS, RenderedPhoto, rendered_people
from smirk3d.estimation.estimator import FaceObservation
from smirk3d.estimation.reconstructor import DetectedPhoto, Reconstructor
from smirk3d.evaluation.data import EvaluationData
from smirk3d.evaluation.method_under_test import MethodUnderTest, ReconstructionMethod
from smirk3d.evaluation.neutral_meshes import face_errors_mm, lip_heights, neutral_vertices
from smirk3d.evaluation.result import Figure, MeasureNotApplicableError, Result, values_of
from smirk3d.head.model import HeadModel
from smirk3d.media.images import Photo

MAX_PEOPLE = 40
FIGURES = (
    Figure("face_error_mm", "mm", "lower"),
    Figure("neutral_face_error_mm", "mm", "lower"),
    Figure("joint_face_error_mm", "mm", "lower"),
    Figure("mean_head_error_mm", "mm"),
    Figure("coefficient_error", better="lower"),
    Figure("joint_coefficient_error", better="lower"),
    Figure("lip_height_spread", better="lower"),
    Figure("lip_height_range", better="lower"),
    Figure("lip_height_error", better="lower"),
    Figure("joint_lip_height_error", better="lower"),
    Figure("max_abs_shape", better="lower"),
)


class IdentityAccuracyMeasure:
    """See `identity_result`; --count is the number of people."""

    name = "identity-accuracy"
    summary = "neutral faces of rendered people against the true ones, from single photos and from all of a person"
    needs = frozenset({"reconstruction"})
    figures = FIGURES
    is_default = False

    def run(self, method: MethodUnderTest, data: EvaluationData) -> Iterator[Result]:
        """Yield one result."""
        if not isinstance(method, ReconstructionMethod):
            raise MeasureNotApplicableError("needs reconstructed heads")
        head, count = data.head, min(data.options.count, MAX_PEOPLE)
        reconstructor = data.reconstructor()
        photos: list[RenderedPhoto] = []
        single: list[np.ndarray] = []
        joint: list[np.ndarray] = []
        missed = 0
        with data.progress(self.name, count) as display:
            for person in _by_person(rendered_people(head, count, data.options.seed)):
                found = [(photo, method.detect(photo.pixels)) for photo in person]
                seen = [(photo, detected[0]) for photo, detected in found if detected]
                missed += len(person) - len(seen)
                if seen:
                    detected = [DetectedPhoto(Photo(photo.pixels), (face,)) for photo, face in seen]
                    photos += [photo for photo, _ in seen]
                    single += [faces[0].shape for faces in reconstructor.solve(detected)]
                    joint += _joint_shapes(reconstructor, detected)
                display.advance()
        yield identity_result(method.method, head, photos, np.stack(single), np.stack(joint), missed)


def _by_person(photos: Iterator[RenderedPhoto]) -> Iterator[list[RenderedPhoto]]:
    """Yield the photos of one person at a time; every person has one of each of `EXPRESSIONS`."""
    while person := list(islice(photos, len(EXPRESSIONS))):
        yield person


def _joint_shapes(reconstructor: Reconstructor, detected: Sequence[DetectedPhoto]) -> list[np.ndarray]:
    """Return the shape of the person of all photos, once for each photo."""
    estimator = reconstructor.estimator
    records = estimator.observe([FaceObservation(each.photo, each.detections[0]) for each in detected])
    person = np.zeros(len(records), dtype=np.int64)
    return list(estimator.solve(records, estimator.intrinsics(records), person=person).shape.cpu().numpy())


def identity_result(
    method: str, head: HeadModel, photos: Sequence[RenderedPhoto], single: np.ndarray, joint: np.ndarray, missed: int
) -> Result:
    """Compare estimated identities with the true ones.

    Errors are mean distances of the vertices of the region "face" after alignment by a similarity; heights of lips are
    in distances of the outer eye corners. Spread and range of the heights are over the photos of one person, each
    fitted by itself.

    Args:
        method: Name of the method.
        head: The open head.
        photos: N photos.
        single: (N, S) identity coefficients, from each photo alone.
        joint: (N, S) from all photos of the person.
        missed: Photos without a detected face.
    """
    shape = np.stack([photo.shape for photo in photos])
    person = np.array([photo.person for photo in photos])
    is_neutral = np.array([photo.expression == "neutral" for photo in photos])
    truth, found, together = (neutral_vertices(head, each) for each in (shape, single, joint))
    error = face_errors_mm(head, found, truth)
    true_lips, lips, joint_lips = (lip_heights(head, each) for each in (truth, found, together))
    groups = [lips[person == number] for number in np.unique(person)]
    numbers = {
        "face_error_mm": float(error.mean()),
        "neutral_face_error_mm": float(error[is_neutral].mean()) if is_neutral.any() else float("nan"),
        "joint_face_error_mm": float(face_errors_mm(head, together, truth).mean()),
        "mean_head_error_mm": float(face_errors_mm(head, head.v_template.expand_as(truth), truth).mean()),
        "coefficient_error": _rms(single - shape),
        "joint_coefficient_error": _rms(joint - shape),
        "lip_height_spread": float(np.mean([group.std() for group in groups])),
        "lip_height_range": float(np.mean([np.ptp(group) for group in groups])),
        "lip_height_error": _rms(lips - true_lips),
        "joint_lip_height_error": _rms(joint_lips - true_lips),
        "max_abs_shape": float(max(np.abs(single).max(), np.abs(joint).max())),
    }
    by_sample = {f"{photo.person}_{photo.expression}": float(each) for photo, each in zip(photos, error)}
    return Result("identity-accuracy", method, len(photos), values_of(FIGURES, numbers), {}, by_sample, missed)


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.square(values).mean()))
