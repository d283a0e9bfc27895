"""Reenacted photos of rendered people against the true pictures, and the expressions that are read in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from smirk3d.detection.crop import Crop
from smirk3d.errors import NoFaceError
from smirk3d.estimation.estimator import FaceObservation
from smirk3d.estimation.resynthesis import CROP_SCALE
from smirk3d.evaluation.data import EvaluationData
from smirk3d.evaluation.method_under_test import MethodUnderTest, ReconstructionMethod
from smirk3d.evaluation.rendered_people import (
    EXPRESSIONS,
    MAX_ANGLES_DEG,
    MAX_SHAPE,
    SHAPE_STD,
    SIZE_PX,
    centered_translation,
    expression_weights,
    relative_focal,
)
from smirk3d.evaluation.result import Figure, MeasureNotApplicableError, Result, values_of
from smirk3d.geometry.euler import rotation_from_angles
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.media.images import Photo
from smirk3d.metrics.correlation import correlations, mean_of_known
from smirk3d.params import FaceParams
from smirk3d.reenactment.motion_transfer import added_change
from smirk3d.reenactment.reenactor import Reenactor
from smirk3d.render.appearance.procedural_face import ProceduralFaceRenderer, project_head_perspective
from smirk3d.render.appearance.randomization import random_appearance, random_background, random_light

MAX_PEOPLE = 40
FIGURES = (
    Figure("psnr_db", "dB", "higher"),
    Figure("copied_psnr_db", "dB"),
    Figure("face_psnr_db", "dB", "higher"),
    Figure("copied_face_psnr_db", "dB"),
    Figure("correlation", better="higher"),
    Figure("truth_correlation"),
)


@dataclass(frozen=True, eq=False)
class PersonInPlace:
    """A rendered person whose pictures differ in the expression alone.

    Attributes:
        calm: (H, W, 3) uint8 RGB.
        moved: Expression of `EXPRESSIONS` -> (H, W, 3) uint8 RGB; without "calm".
    """

    calm: np.ndarray
    moved: dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class ReenactedPicture:
    """What was made of one expression.

    Attributes:
        name: Number of the person and name of the expression.
        errors: Mean squared errors in [0, 1]: of the result and the copied photo, over the picture and the face.
        driven: (52,) weights that the picture was to show.
        read: (52,) weights that are read in it.
        read_in_truth: (52,) weights that are read in the true picture.
    """

    name: str
    errors: tuple[float, float, float, float]
    driven: np.ndarray
    read: np.ndarray
    read_in_truth: np.ndarray


class ReenactmentMeasure:
    """See `reenactment_result`; --count is the number of people."""

    name = "reenactment"
    summary = "photos of rendered people moved to strong expressions, against the true pictures and the copied photo"
    needs = frozenset({"reconstruction"})
    figures = FIGURES
    is_default = False

    def run(self, method: MethodUnderTest, data: EvaluationData) -> Iterator[Result]:
        """Yield one result."""
        if not isinstance(method, ReconstructionMethod):
            raise MeasureNotApplicableError("needs reconstructed heads")
        count = min(data.options.count, MAX_PEOPLE)
        pictures: list[ReenactedPicture] = []
        with data.progress(self.name, count) as display:
            for number, person in enumerate(people_in_place(data.head, count, data.options.seed)):
                try:
                    reenactor = Reenactor(person.calm, data.reconstructor())
                except NoFaceError:
                    continue
                pictures += reenacted_pictures(reenactor, person, method, number)
                display.advance()
        yield reenactment_result(method.method, pictures, count * (len(EXPRESSIONS) - 1) - len(pictures))


def people_in_place(head: HeadModel, count: int, seed: int) -> Iterator[PersonInPlace]:
    """Yield random people before random backgrounds, in a random pose that stays, without the sensor's noise."""
    random = torch.Generator().manual_seed(seed)
    renderer = ProceduralFaceRenderer(head)
    for _ in range(count):
        shape = (SHAPE_STD * torch.randn(head.n_shape, generator=random)).clamp(-MAX_SHAPE, MAX_SHAPE)
        look = (random_appearance(random), random_light(random))
        background = random_background(SIZE_PX, random)
        angles = [limit * float(2 * torch.rand((), generator=random) - 1) for limit in MAX_ANGLES_DEG]
        rotmat = torch.from_numpy(rotation_from_angles(*angles)).float()
        place, pictures = None, {}
        for name in EXPRESSIONS:
            with torch.no_grad():
                vertices = head(FaceParams(shape=shape, expression=expression_weights(name))).vertices
            place = centered_translation(head, vertices, rotmat) if place is None else place  # "calm" comes first
            view = project_head_perspective(vertices, rotmat, place, relative_focal())
            picture = renderer.render(view, SIZE_PX, *look, background).clamp(0, 1)
            pictures[name] = np.ascontiguousarray(picture.mul(255).round().byte().permute(1, 2, 0).numpy())
        yield PersonInPlace(pictures.pop("calm"), pictures)


def reenacted_pictures(
    reenactor: Reenactor, person: PersonInPlace, method: MethodUnderTest, number: int
) -> list[ReenactedPicture]:
    """Move the calm photo to each expression, and compare; pictures without a detected face are left out."""
    face = reenactor.source.face
    own = np.array([face.arkit[name] for name in ARKIT_NAMES])
    crop = Crop.from_landmarks(face.landmarks("mediapipe"), CROP_SCALE)
    x0, y0 = max(round(crop.x0), 0), max(round(crop.y0), 0)
    square = np.s_[y0 : round(crop.y0 + crop.side_px), x0 : round(crop.x0 + crop.side_px)]
    results = []
    for name, truth in person.moved.items():
        driven = added_change(own, expression_weights(name).numpy()[None])[0]
        made = reenactor(driven)
        read, read_in_truth = (_read(method, pixels) for pixels in (made, truth))
        if read is None or read_in_truth is None:
            continue
        errors = tuple(_squared_error(a[b], truth[b]) for b in (np.s_[:], square) for a in (made, person.calm))
        results.append(ReenactedPicture(f"{number}_{name}", errors, driven, read, read_in_truth))  # type: ignore[arg-type]
    return results


def reenactment_result(method: str, pictures: list[ReenactedPicture], missed: int) -> Result:
    """Return means over pictures of the peak signal-to-noise ratio, and correlations of expressions.

    Correlations are over the pictures, between weights that were to be shown and those that are read, as a mean over
    the actions that were to be shown; those that are read in the true pictures tell what can be reached.

    Args:
        method: Name of the method.
        pictures: At least two.
        missed: Pictures without a detected face.
    """
    driven, read, read_in_truth = (
        np.stack([getattr(each, name) for each in pictures]) for name in ("driven", "read", "read_in_truth")
    )
    active = np.ptp(driven, axis=0) > 0.3
    decibels = -10 * np.log10(np.maximum([each.errors for each in pictures], 1e-10))
    by_action = np.where(active, correlations(read, driven), np.nan)
    names = ("psnr_db", "copied_psnr_db", "face_psnr_db", "copied_face_psnr_db")
    numbers = dict(zip(names, decibels.mean(axis=0).tolist(), strict=True)) | {
        "correlation": mean_of_known(by_action),
        "truth_correlation": mean_of_known(np.where(active, correlations(read_in_truth, driven), np.nan)),
    }
    by_sample = {each.name: 255 * float(np.sqrt(each.errors[0])) for each in pictures}
    values, columns = values_of(FIGURES, numbers), {"correlation": by_action}
    return Result(ReenactmentMeasure.name, method, len(pictures), values, columns, by_sample, missed, worst="low")


def _read(method: MethodUnderTest, pixels: np.ndarray) -> np.ndarray | None:
    found = method.detect(pixels)
    return method.weights([FaceObservation(Photo(pixels), found[0])])[0] if found else None


def _squared_error(found: np.ndarray, truth: np.ndarray) -> float:
    return float(np.square((found.astype(np.float64) - truth) / 255).mean())
