"""One rendered person at a time: photos are moved by each engine, and the results are scored and read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from smirk3d.datasets.synthetic.rendered_people import expression_weights
from smirk3d.detection.crop import Crop
from smirk3d.estimation.estimator import FaceObservation
from smirk3d.estimation.reconstructor import Reconstructor
from smirk3d.estimation.resynthesis import CROP_SCALE, resynthesise
from smirk3d.evaluation.method_under_test import ReconstructionMethod
from smirk3d.evaluation.picture_metrics import FaceSquare, PictureMetrics
from smirk3d.evaluation.reenactment_figures import EngineTally, ReenactedPicture, TurnedPicture
from smirk3d.evaluation.reenactment_people import PersonInPlace, TurnedPerson
from smirk3d.face import Face
from smirk3d.geometry.euler import rotation_from_angles
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.media.images import Photo
from smirk3d.networks.neural_renderer import NeuralRenderer
from smirk3d.reenactment.engine import EngineName
from smirk3d.reenactment.motion_transfer import added_change
from smirk3d.reenactment.reenactor import Reenactor, named_weights

STILL_EXPRESSION, STILL_FRAMES = "smiling", 6
STILL_WEIGHT_STD, STILL_TURN_DEG = 0.01, 0.1
"""How much weights and head pose vary from frame to frame where a still face is tracked."""


@dataclass(frozen=True, eq=False)
class PersonAtWork:
    """A person whose neutral photo is prepared.

    Attributes:
        person: The pictures.
        number: Number of the person.
        reenactor: The mesh engine with the neutral photo.
        method: Reads expressions.
        metrics: Compares pictures.
        read: Expression -> (52,) weights that are read in the true pictures, the neutral one too; None without a face.
    """

    person: PersonInPlace
    number: int
    reenactor: Reenactor
    method: ReconstructionMethod
    metrics: PictureMetrics
    read: dict[str, np.ndarray | None]

    @staticmethod
    def prepare(
        person: PersonInPlace,
        number: int,
        reconstructor: Reconstructor,
        method: ReconstructionMethod,
        metrics: PictureMetrics,
    ) -> PersonAtWork:
        """Fit the head to the neutral photo, and read all true pictures.

        Raises:
            NoFaceError: No face is found in the neutral photo.
        """
        reenactor = Reenactor(person.neutral, reconstructor)
        read = {
            name: read_weights(method, pixels) for name, pixels in (("neutral", person.neutral), *person.moved.items())
        }
        return PersonAtWork(person, number, reenactor, method, metrics, read)

    @property
    def own(self) -> np.ndarray:
        """Weights (52,) of the photo."""
        return own_weights(self.reenactor)

    @property
    def square(self) -> FaceSquare:
        """The square around the face."""
        return face_square(self.reenactor.source.face)

    def measure_engine(self, name: EngineName, tally: EngineTally, before: PersonAtWork | None) -> None:
        """Add what an engine makes of the photo to its tally.

        Args:
            name: Name of the engine.
            tally: Changed.
            before: The person whose pictures drive this one, too; None for the first person.
        """
        reenactor = self.reenactor.with_engine(name)
        for expression in self.person.moved:
            driven = added_change(self.own, expression_weights(expression).numpy()[None])[0]
            self._add(expression, driven, reenactor(driven), tally)
        tally.flickers.append(self._flicker(reenactor))
        if before is not None:
            self._add_crossed(reenactor, before, tally)

    def measure_renderer(self, renderer: NeuralRenderer, tally: EngineTally) -> None:
        """Add what the neural renderer makes of the photo to its tally."""
        source = self.reenactor.source
        for expression in self.person.moved:
            driven = added_change(self.own, expression_weights(expression).numpy()[None])[0]
            changed = source.face.with_arkit(named_weights(driven))
            self._add(expression, driven, rerendered(renderer, source.face, source.pixels, changed), tally)

    def _add(self, expression: str, driven: np.ndarray, made: np.ndarray, tally: EngineTally) -> None:
        truth, neutral = self.person.moved[expression], self.person.neutral
        read, read_in_truth = read_weights(self.method, made), self.read[expression]
        if read is None or read_in_truth is None:
            tally.missed += 1
            return
        scores, copied = (self.metrics.scores(each, truth, self.square) for each in (made, neutral))
        identities = np.stack([self.metrics.identity(each, self.square) for each in (neutral, made, truth)])
        name = f"{self.number}_{expression}"
        tally.pictures.append(ReenactedPicture(name, scores, copied, driven, read, read_in_truth, identities))

    def _add_crossed(self, reenactor: Reenactor, before: PersonAtWork, tally: EngineTally) -> None:
        """Drive the photo by the change that is read in the pictures of another person."""
        neutral = before.read["neutral"]
        for expression in self.person.moved:
            other = before.read[expression]
            if neutral is None or other is None:
                continue
            driven = added_change(self.own, (other - neutral)[None].astype(np.float64))[0]
            read = read_weights(self.method, reenactor(driven))
            if read is not None:
                tally.crossed.append((driven, read))

    def _flicker(self, reenactor: Reenactor) -> float:
        """Return the mean change between frames of a still face, of 255."""
        random = np.random.default_rng(self.number)
        weights = added_change(self.own, expression_weights(STILL_EXPRESSION).numpy()[None])[0]
        frames = []
        for _ in range(STILL_FRAMES):
            noisy = (weights + random.normal(0, STILL_WEIGHT_STD, len(weights))).clip(0, 1)
            turn = rotation_from_angles(*random.normal(0, STILL_TURN_DEG, 3).tolist())
            pixels = reenactor(noisy, turn @ reenactor.source.face.rotation)
            frames.append(self.square.of_picture(pixels).astype(np.float64))
        return float(np.abs(np.diff(frames, axis=0)).mean())


@dataclass(frozen=True, eq=False)
class TurnedAtWork:
    """A turned person whose photos are prepared.

    Attributes:
        person: The pictures.
        one: The mesh engine with the first photo.
        several: The mesh engine with all photos.
        method: Reads poses.
        metrics: Compares pictures.
        off_in_truth_deg: Expression -> angle between the rotation that is read in the true picture and the wanted one.
    """

    person: TurnedPerson
    one: Reenactor
    several: Reenactor
    method: ReconstructionMethod
    metrics: PictureMetrics
    off_in_truth_deg: dict[str, float]

    @staticmethod
    def prepare(
        person: TurnedPerson, reconstructor: Reconstructor, method: ReconstructionMethod, metrics: PictureMetrics
    ) -> TurnedAtWork:
        """Fit the heads.

        Raises:
            NoFaceError: No face is found in a photo.
        """
        one, several = Reenactor(person.photos[0], reconstructor), Reenactor(list(person.photos), reconstructor)
        wanted = person.turn @ one.source.face.rotation
        off_in_truth_deg = {name: _pose_off_deg(method, pixels, wanted) for name, pixels in person.moved.items()}
        return TurnedAtWork(person, one, several, method, metrics, off_in_truth_deg)

    def measure_engine(self, name: EngineName, tally: EngineTally) -> None:
        """Add what an engine makes of the photos to its tally."""
        square = face_square(self.one.source.face)
        for expression, truth in self.person.moved.items():
            change = expression_weights(expression).numpy()[None]
            made = []
            for reenactor in (self.one, self.several):
                driven = added_change(own_weights(reenactor), change)[0]
                wanted = self.person.turn @ reenactor.source.face.rotation
                made.append(reenactor.with_engine(name)(driven, wanted))
            pictures = (*made, self.person.photos[0])
            one, several, copied = (self.metrics.scores(each, truth, square) for each in pictures)
            off_deg = _pose_off_deg(self.method, made[0], self.person.turn @ self.one.source.face.rotation)
            tally.turned.append(TurnedPicture(one, several, copied, off_deg, self.off_in_truth_deg[expression]))


def _pose_off_deg(method: ReconstructionMethod, pixels: np.ndarray, wanted: np.ndarray) -> float:
    """Return the angle between the rotation that is read in a picture and another one; NaN without a face."""
    found = method.detect(pixels)
    if not found:
        return float("nan")
    rotation = method.faces([FaceObservation(Photo(pixels), found[0])])[0].rotation
    return float(np.rad2deg(np.arccos(np.clip((np.trace(rotation @ wanted.T) - 1) / 2, -1, 1))))


def face_square(face: Face) -> FaceSquare:
    """Return the square around a face that the neural renderer renders."""
    return FaceSquare.of(Crop.from_landmarks(face.landmarks("mediapipe"), CROP_SCALE))


def own_weights(reenactor: Reenactor) -> np.ndarray:
    """Return the weights (52,) of the photo that is shown."""
    return np.array([reenactor.source.face.arkit[name] for name in ARKIT_NAMES])


def read_weights(method: ReconstructionMethod, pixels: np.ndarray) -> np.ndarray | None:
    """Return the weights (52,) of the largest face of a picture; None where none is found."""
    found = method.detect(pixels)
    return method.weights([FaceObservation(Photo(pixels), found[0])])[0] if found else None


def rerendered(renderer: NeuralRenderer, face: Face, pixels: np.ndarray, changed: Face) -> np.ndarray:
    """Return a photo (H, W, 3) uint8 whose face the neural renderer shows with another expression."""
    import cv2

    made = resynthesise(renderer, face, pixels, changed=changed)
    crop, square = made.crop, face_square(face)
    rows, columns = range(len(pixels))[square.rows], range(pixels.shape[1])[square.columns]
    grid = np.stack(np.meshgrid(np.array(columns) + 0.5, np.array(rows) + 0.5), axis=-1)
    x, y = np.moveaxis((crop.to_crop(grid) - 0.5).astype(np.float32), -1, 0)
    result = pixels.copy()
    result[square.rows, square.columns] = cv2.remap(
        made.photo, np.ascontiguousarray(x), np.ascontiguousarray(y), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return result
