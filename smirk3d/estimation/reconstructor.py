"""The public `Reconstructor`: from a photo to heads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast, overload

import numpy as np
import torch

from smirk3d.detection.detector import Detection, Detector
from smirk3d.errors import InvalidOptionError, NoFaceError, Smirk3dError
from smirk3d.estimation.appearance_fit import with_appearance, with_shared_appearance
from smirk3d.estimation.estimator import Estimator, FaceObservation, reconstruct_faces
from smirk3d.estimation.estimator_settings import Engine, EstimatorSettings, Method, checked_max_faces
from smirk3d.estimation.landmark_fit import Focal
from smirk3d.estimation.personal_rest import RestCorrectedEstimator, has_arkit_weights, may_be_neutral, resting_weights
from smirk3d.estimation.photo_source import PhotoSource, display_name, list_of_photos, read_photo
from smirk3d.face import Face
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.media.images import Photo

DEFAULT_MAX_FACES = 4
"""Faces per photo where the caller sets no maximum."""
LIST_BATCH = 8
"""Photos of a list that are in memory together."""


@dataclass(frozen=True)
class DetectedPhoto:
    """A photo and the faces that were detected in it, ready to be solved in a batch with others.

    Attributes:
        photo: The photo.
        detections: The faces, largest first.
    """

    photo: Photo
    detections: tuple[Detection, ...]


class Reconstructor:
    """Reconstructs heads from photos.

    Args:
        head: "open", the path of a head pack or FLAME file, or a head model.
        method: "fit": optimisation to landmarks, without weights. "encoder": regression by a trained network.
            "refine": fusion of both, in which the network's prediction informs the expression and the landmarks
            determine everything else. "auto": `AUTO_METHOD` where there are weights, else "fit".
        device: "auto", "cpu" or "cuda" (or "cuda:1", ...): where networks and optimisation run.
        max_faces: Most faces per photo; large photos are then searched down to small faces. None takes up to
            `DEFAULT_MAX_FACES` that are found without that search.
        focal: Camera of "fit" and "refine": the focal length in pixels of the photo, "auto" to assume the usual field
            of view, or "orthographic" for the scaled orthographic camera. That of "encoder" is always orthographic.
        use_scores: Let the detector's 52 blendshape scores inform the expression of "fit" and "refine".
        weights: Checkpoint of an encoder; None for the packaged one. "encoder" needs one that was trained for this
            head; "refine" also takes one that predicts ARKit weights.
        engine: What runs the encoder: "torch", or "onnx" (ONNX Runtime, on the CPU).

    One that was made before a fork goes on in the child process (workers of a DataLoader, `multiprocessing.Pool` on
    Linux); torch then computes with one thread in that process.
    It can also be pickled where head and weights can be loaded again.

    Attributes:
        head: The head model.

    Raises:
        InvalidOptionError: A value is not one that its option takes; both a `UsageError` and a `ValueError`.
        UsageError: Method, weights, head, engine and device do not go together.
        Smirk3dError: Head or weights cannot be read, or the device or the engine is not available.
    """

    def __init__(  # noqa: PLR0913 - the further settings are keywords
        self,
        head: str | os.PathLike[str] | HeadModel = "open",
        method: Method = "auto",
        device: str | torch.device = "auto",
        *,
        max_faces: int | None = None,
        focal: Focal = "auto",
        use_scores: bool = True,
        weights: str | os.PathLike[str] | None = None,
        engine: Engine = "torch",
    ) -> None:
        max_faces = checked_max_faces(max_faces)
        settings = EstimatorSettings(head, method, device, focal, use_scores, weights, engine)
        self._set_up(settings.make_estimator(), max_faces, settings)

    @classmethod
    def from_estimator(cls, estimator: Estimator, *, max_faces: int | None = None) -> Reconstructor:
        """Return a reconstructor with a method of your own.

        Args:
            estimator: The method, with its head.
            max_faces: As for the class.
        """
        reconstructor = cls.__new__(cls)
        reconstructor._set_up(estimator, checked_max_faces(max_faces), None)
        return reconstructor

    def _set_up(self, estimator: Estimator, max_faces: int | None, settings: EstimatorSettings | None) -> None:
        self._estimator, self.head = estimator, estimator.head
        self._max_faces, self._settings = max_faces, settings
        self._detector = Detector(max_faces=max_faces or DEFAULT_MAX_FACES, search_tiles=(max_faces or 1) > 1)
        self._process_id = os.getpid()

    def __getstate__(self) -> dict[str, Any]:
        """Return the settings alone: MediaPipe's graph cannot be pickled."""
        return {"settings": self._settings, "max_faces": self._max_faces, "estimator": self._own_estimator()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make detector and estimator anew."""
        settings = state["settings"]
        estimator = state["estimator"] if settings is None else settings.make_estimator()
        self._set_up(estimator, state["max_faces"], settings)

    def _own_estimator(self) -> Estimator | None:
        """Return the estimator of `from_estimator`; None where settings describe it."""
        return self._estimator if self._settings is None else None

    def _adopt_process(self) -> None:
        """Replace what does not survive a fork: its threads exist in the parent process only."""
        if self._process_id == os.getpid():
            return
        if self.head.v_template.is_cuda:
            raise Smirk3dError(
                "a Reconstructor on cuda cannot be used in a forked process; make it there, or start processes by "
                "'spawn' (multiprocessing.get_context('spawn'), DataLoader(multiprocessing_context='spawn'))"
            )
        # The pool of OpenMP's threads is gone, and the first parallel loop would wait for it; DataLoader does the same.
        torch.set_num_threads(1)
        if self._settings is not None and self._settings.engine != "torch":  # a session of ONNX Runtime has threads
            self._estimator = self._settings.make_estimator()
        self._process_id = os.getpid()

    @overload
    def __call__(self, photo: PhotoSource) -> list[Face]: ...
    @overload
    def __call__(self, photo: Sequence[PhotoSource]) -> list[list[Face]]: ...
    def __call__(self, photo: PhotoSource | Sequence[PhotoSource]) -> list[Face] | list[list[Face]]:
        """Reconstruct every face of a photo, or of each photo of a list.

        Args:
            photo: See `smirk3d.estimation.photo_source.read_photo`: a path, bytes, an open file, a PIL image, an
                (H, W, 3) uint8 RGB array, or a tensor. Or a list or tuple of photos, or a tensor (N, C, H, W).

        Returns:
            The faces, largest first. Of several photos a list for each, empty where no face was found.

        Raises:
            NoFaceError: No face was found in the one photo.
            Smirk3dError: A photo cannot be read.
        """
        several = list_of_photos(photo)
        if several is not None:
            return self._reconstruct_several(several)
        return self.solve([self.read_and_detect(cast(PhotoSource, photo))])[0]

    def _reconstruct_several(self, photos: Sequence[PhotoSource]) -> list[list[Face]]:
        found: list[list[Face]] = []
        for start in range(0, len(photos), LIST_BATCH):
            rows = range(start, min(start + LIST_BATCH, len(photos)))
            found += self.solve([self._detect_one_of(photos, row) for row in rows])
        return found

    def _detect_one_of(self, photos: Sequence[PhotoSource], row: int) -> DetectedPhoto:
        """Return a photo of a list with its faces, none where none is found; errors name its place in the list."""
        try:
            image = read_photo(photos[row])
        except Smirk3dError as error:
            raise Smirk3dError(f"photo {row + 1} of {len(photos)}: {error}") from error
        return DetectedPhoto(image, tuple(self.detect(image.pixels)))

    def read_and_detect(self, photo: PhotoSource) -> DetectedPhoto:
        """Read one photo and detect its faces; arguments and errors as for `__call__`."""
        image = read_photo(photo)
        detections, n_further = self._detector.detect_and_count(image.pixels)
        if n_further:
            faces = "1 further face was" if n_further == 1 else f"{n_further} further faces were"
            note = f"{faces} found and not reconstructed; --max-faces {len(detections) + n_further} takes them"
            image = replace(image, notes=(*image.notes, note))
        if not detections:
            raise NoFaceError(
                f"{display_name(photo)}: no face found; is a face in the picture, at least 40 pixels high "
                "(60 in a photo of 4000)?"
            )
        return DetectedPhoto(image, tuple(detections))

    def detect(self, pixels: np.ndarray) -> list[Detection]:
        """Detect faces.

        Args:
            pixels: (H, W, 3) uint8 RGB in [0, 255].

        Returns:
            The detections, largest first; empty where there are none.
        """
        return self._detector.detect(pixels)

    @property
    def estimator(self) -> Estimator:
        """The method that estimates the heads of detected faces."""
        self._adopt_process()
        return self._estimator

    @property
    def detector(self) -> Detector:
        """The face detector."""
        return self._detector

    def solve(self, photos: Sequence[DetectedPhoto]) -> list[list[Face]]:
        """Reconstruct all faces of several photos in one batch, each with its own identity.

        Args:
            photos: The photos with their detections.

        Returns:
            The faces of each photo, in the order of its detections.
        """
        observations = [FaceObservation(item.photo, detection) for item in photos for detection in item.detections]
        if not observations:
            return [[] for _ in photos]
        faces = iter(_with_appearances(reconstruct_faces(self.estimator, observations), observations))
        return [[next(faces) for _ in item.detections] for item in photos]

    def fit_identity(self, photos: Sequence[PhotoSource]) -> list[Face]:
        """Reconstruct the largest face of each photo of one person, with one identity for all.

        What lids, brows and mouth show in the most neutral photos is the person's resting face, and taken off the
        weights of all; with `with_neutral` that of the neutral photo is.

        Args:
            photos: Photos of the person; each as for `__call__`.

        Returns:
            One face per photo.

        Raises:
            InvalidOptionError: `photos` is no list or tuple.
            NoFaceError: No face was found in one of the photos.
            Smirk3dError: A photo cannot be read.
        """
        several = list_of_photos(photos)
        if several is None:
            raise InvalidOptionError(f"photos must be a list of photos of one person, not a {type(photos).__name__}")
        detected = [self.read_and_detect(photo) for photo in several]
        if not detected:
            return []
        observations = [FaceObservation(item.photo, item.detections[0]) for item in detected]
        estimator = self.estimator
        if not isinstance(estimator, RestCorrectedEstimator) and has_arkit_weights(estimator):
            estimator = RestCorrectedEstimator(estimator)
        faces = reconstruct_faces(estimator, observations, np.zeros(len(observations), dtype=np.int64))
        return with_shared_appearance(_with_appearances(faces, observations))

    def with_neutral(self, photo: PhotoSource) -> Reconstructor:
        """Return a reconstructor of one person that takes the person's resting face off the weights.

        Args:
            photo: Shows the person's neutral face; as for `__call__`. Its largest face counts.

        Raises:
            InvalidOptionError: The face is not neutral, or the method estimates no ARKit weights.
            NoFaceError: No face was found.
            Smirk3dError: The photo cannot be read.
        """
        if not has_arkit_weights(self.estimator):
            raise InvalidOptionError(
                "a neutral photo needs ARKit weights, which method 'encoder' has not; use 'refine'"
            )
        detected = self.read_and_detect(photo)
        face = self.solve([DetectedPhoto(detected.photo, detected.detections[:1])])[0][0]
        weights = np.array([face.arkit[name] for name in ARKIT_NAMES])
        if not may_be_neutral(weights):
            strongest = " and ".join(name for name, _ in face.strongest(2))
            raise InvalidOptionError(
                f"{display_name(photo)}: shows no resting face but {strongest}; name another neutral photo"
            )
        corrected = RestCorrectedEstimator(self.estimator, resting_weights(weights[None]))
        return Reconstructor.from_estimator(corrected, max_faces=self._max_faces)

    def close(self) -> None:
        """Release the detector."""
        self._detector.close()

    def __enter__(self) -> Reconstructor:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _with_appearances(faces: Sequence[Face], observations: Sequence[FaceObservation]) -> list[Face]:
    """Give each face the appearance that its photo shows."""
    return [
        with_appearance(face, observed.photo.pixels, observed.detection.landmarks_px)
        for face, observed in zip(faces, observations, strict=True)
    ]
