"""The public `Reconstructor`: from a photo to heads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image

from smirk3d.authoring.load import load_head
from smirk3d.detection.detector import Detection, Detector
from smirk3d.errors import NoFaceError, Smirk3dError, UsageError
from smirk3d.estimation.estimator import Estimator, FaceObservation, reconstruct_faces
from smirk3d.estimation.fusion import FusionEstimator, expression_std
from smirk3d.estimation.landmark_fit import Focal, LandmarkFitEstimator
from smirk3d.estimation.regression import RegressionEstimator, crop_encoder, head_for, window_encoder
from smirk3d.face import Face
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.head.retargeting.retargeter import find_retargeter
from smirk3d.media.images import Photo, read_image
from smirk3d.networks.encoder import Encoder, predicts_arkit
from smirk3d.networks.packaged import packaged_encoder

Method = Literal["auto", "fit", "encoder", "refine"]
Engine = Literal["torch", "onnx"]
PhotoSource = str | Path | Image.Image | np.ndarray

AUTO_METHOD: Literal["encoder", "refine"] = "refine"
"""What the method "auto" means where there are weights, given or packaged; without weights it is "fit"."""
DEFAULT_MAX_FACES = 4
"""Faces per photo where the caller sets no maximum."""


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

    Attributes:
        head: The head model.

    Raises:
        UsageError: Method, weights, head and device do not go together.
        Smirk3dError: Head or weights cannot be read, or the device or the engine is not available.
        ValueError: The focal length is not positive.
    """

    def __init__(  # noqa: PLR0913 - the further settings are keywords
        self,
        head: str | Path | HeadModel = "open",
        method: Method = "auto",
        device: str = "auto",
        *,
        max_faces: int | None = None,
        focal: Focal = "auto",
        use_scores: bool = True,
        weights: str | Path | None = None,
        engine: Engine = "torch",
    ) -> None:
        if not isinstance(focal, str) and not focal > 0:
            raise ValueError(f"focal must be a positive number of pixels, not {focal}")
        choice = _choose(method, weights)
        torch_device = _device(device)
        if choice.weights is None:
            estimator: Estimator = LandmarkFitEstimator(_loaded(head).to(torch_device), focal, use_scores)
        elif choice.method == "encoder":
            estimator = _regression_estimator(head, choice.weights, engine, torch_device)
        else:
            estimator = _fusion_estimator(head, choice.weights, engine, torch_device, focal, use_scores)
        self._set_up(estimator, max_faces)

    @classmethod
    def from_estimator(cls, estimator: Estimator, *, max_faces: int | None = None) -> Reconstructor:
        """Return a reconstructor with a method of your own.

        Args:
            estimator: The method, with its head.
            max_faces: As for the class.
        """
        reconstructor = cls.__new__(cls)
        reconstructor._set_up(estimator, max_faces)
        return reconstructor

    def _set_up(self, estimator: Estimator, max_faces: int | None) -> None:
        self._estimator, self.head = estimator, estimator.head
        self._detector = Detector(max_faces=max_faces or DEFAULT_MAX_FACES, search_tiles=(max_faces or 1) > 1)

    def __call__(self, photo: PhotoSource) -> list[Face]:
        """Reconstruct every face of a photo.

        Args:
            photo: Path, PIL image, or (H, W, 3) uint8 RGB array in [0, 255].

        Returns:
            The faces, largest first.

        Raises:
            NoFaceError: No face was found in the photo.
            Smirk3dError: The photo cannot be read.
        """
        return self.solve([self.read_and_detect(photo)])[0]

    def read_and_detect(self, photo: PhotoSource) -> DetectedPhoto:
        """Read one photo and detect its faces; arguments and errors as for `__call__`."""
        image = read_image(photo)
        detections = self.detect(image.pixels)
        if not detections:
            name = str(photo) if isinstance(photo, (str, Path)) else "the picture"
            raise NoFaceError(f"{name}: no face found; is a face in the picture, upright and at least 40 pixels high?")
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
        faces = iter(reconstruct_faces(self._estimator, observations))
        return [[next(faces) for _ in item.detections] for item in photos]

    def fit_identity(self, photos: Sequence[PhotoSource]) -> list[Face]:
        """Reconstruct the largest face of each photo of one person, with one identity for all.

        Args:
            photos: Photos of the person; each as for `__call__`.

        Returns:
            One face per photo.

        Raises:
            NoFaceError: No face was found in one of the photos.
            Smirk3dError: A photo cannot be read.
        """
        detected = [self.read_and_detect(photo) for photo in photos]
        if not detected:
            return []
        observations = [FaceObservation(item.photo, item.detections[0]) for item in detected]
        return reconstruct_faces(self._estimator, observations, np.zeros(len(observations), dtype=np.int64))

    def close(self) -> None:
        """Release the detector."""
        self._detector.close()

    def __enter__(self) -> Reconstructor:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


@dataclass(frozen=True)
class _Choice:
    """A method with its weights; None for "fit"."""

    method: Literal["fit", "encoder", "refine"]
    weights: str | Path | None


def _choose(method: Method, given: str | Path | None) -> _Choice:
    """Resolve "auto" and the weights, and refuse combinations that cannot work."""
    if method == "fit" and given is not None:
        raise UsageError(f"{given}: method 'fit' uses no weights; leave --weights out, or use --method refine")
    weights = packaged_encoder() if given is None else given
    if method == "fit" or (method == "auto" and weights is None):
        return _Choice("fit", None)
    if weights is None:
        raise UsageError(
            f"method {method!r} needs trained weights, and this installation comes with none; name them with "
            "--weights, or use --method fit"
        )
    return _Choice(AUTO_METHOD if method == "auto" else method, weights)


def _regression_estimator(
    head: str | Path | HeadModel, weights: str | Path, engine: Engine, device: torch.device
) -> Estimator:
    """Return the method "encoder", with the head in the encoder's sizes."""
    model = _loaded(head)
    if weights == packaged_encoder() and model.expression_names != ARKIT_NAMES:
        raise UsageError(
            f"method 'encoder' needs weights for the head {model.data.name!r}, the package's own are for the open "
            "head; name yours with --weights, or use --method refine"
        )
    encoder = Encoder.from_checkpoint(weights)
    model = head_for(encoder.spec, model, weights).to(device)
    return RegressionEstimator(model, crop_encoder(encoder, engine, device))


def _fusion_estimator(
    head: str | Path | HeadModel,
    weights: str | Path,
    engine: Engine,
    device: torch.device,
    focal: Focal,
    use_scores: bool,
) -> Estimator:
    """Return the method "refine"."""
    encoder, model = Encoder.from_checkpoint(weights), _loaded(head)
    # Coefficients other than ARKit weights mean something on the encoder's own head only.
    is_native = not predicts_arkit(encoder.spec)
    model = (head_for(encoder.spec, model, weights) if is_native else model).to(device)
    fitter = LandmarkFitEstimator(model, focal, use_scores)
    if encoder.config.window is None:
        expression_encoder = crop_encoder(encoder, engine, device, expression_only=True)
    else:
        expression_encoder = window_encoder(encoder, engine, device)
    own_retargeter = find_retargeter(model) if is_native else None
    return FusionEstimator(fitter, expression_encoder, expression_std(weights), own_retargeter)


def _loaded(head: str | Path | HeadModel) -> HeadModel:
    return head if isinstance(head, HeadModel) else load_head(head)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise UsageError(f"device {name!r} is unknown; choose auto, cpu or cuda")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise Smirk3dError(f"device {name!r} is not available; use --device cpu")
    return torch.device(name)
