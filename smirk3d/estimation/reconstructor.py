"""Photo in, heads out: the public `Reconstructor`."""

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
"""What "auto" means where there are weights, given or shipped; without any it is "fit"."""
DEFAULT_FACES = 4
"""Faces to look for when the caller names no number."""


@dataclass(frozen=True)
class DetectedPhoto:
    """A photo and the faces found in it, largest first; ready to be fitted in a batch with others."""

    photo: Photo
    detections: tuple[Detection, ...]


class Reconstructor:
    """Reconstructs heads from photos.

    Args:
        head: "open", or the path of a head pack or FLAME file.
        method: "fit" (landmarks), "encoder" (a trained network) or "refine" (the network says the expression, the
            landmarks everything else); "auto" is `AUTO_METHOD` where there are weights, else "fit".
        device: "auto", "cpu" or "cuda"; where the numbers are computed.
        max_faces: faces a photo at most, searched for in large photos down to small sizes; None takes up to
            `DEFAULT_FACES` that are found at first sight.
        focal: camera of "fit" and "refine": focal length in pixels of the photo, "auto" to assume the usual field
            of view, or "orthographic" for the scaled orthographic camera, which that of "encoder" always is.
        use_scores: let the detector's own 52 scores guide the expression of "fit" and "refine".
        weights: checkpoint of an encoder; those that come with the package, if they do, where none is named. "encoder"
            wants one that was trained for this head; for "refine" it may also be one that emits ARKit weights.
        engine: what runs the encoder: "torch", or "onnx" (ONNX Runtime, on the CPU).

    Raises:
        Smirk3dError: the method needs trained weights, the device or the head is missing, or they do not match.
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
        self._detector = Detector(max_faces=max_faces or DEFAULT_FACES, search_tiles=(max_faces or 1) > 1)

    def __call__(self, photo: PhotoSource) -> list[Face]:
        """Reconstruct every face of a photo, largest first.

        Args:
            photo: path, PIL image, or (H, W, 3) uint8 RGB array.

        Raises:
            Smirk3dError: the photo cannot be read. NoFaceError: no face was found in it.
        """
        return self.solve([self.read_and_detect(photo)])[0]

    def read_and_detect(self, photo: PhotoSource) -> DetectedPhoto:
        """Read one photo and find its faces; raises as `__call__`."""
        read = read_image(photo)
        detections = self.detect(read.pixels)
        if not detections:
            name = str(photo) if isinstance(photo, (str, Path)) else "the picture"
            raise NoFaceError(f"{name}: no face found; is a face in the picture, upright and at least 40 pixels high?")
        return DetectedPhoto(read, tuple(detections))

    def detect(self, pixels: np.ndarray) -> list[Detection]:
        """Return the faces found in (H, W, 3) uint8 RGB pixels, largest first."""
        return self._detector.detect(pixels)

    @property
    def estimator(self) -> Estimator:
        """What estimates the heads of found faces."""
        return self._estimator

    @property
    def detector(self) -> Detector:
        """What finds faces."""
        return self._detector

    def solve(self, prepared: Sequence[DetectedPhoto]) -> list[list[Face]]:
        """Fit all faces of several photos together; one list of faces a photo."""
        observations = [FaceObservation(item.photo, detection) for item in prepared for detection in item.detections]
        if not observations:
            return [[] for _ in prepared]
        faces = iter(reconstruct_faces(self._estimator, observations))
        return [[next(faces) for _ in item.detections] for item in prepared]

    def fit_identity(self, photos: Sequence[PhotoSource]) -> list[Face]:
        """Reconstruct the largest face of each photo of one person, with one shape for all; raises as `__call__`."""
        prepared = [self.read_and_detect(photo) for photo in photos]
        if not prepared:
            return []
        observations = [FaceObservation(item.photo, item.detections[0]) for item in prepared]
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
    """A method that can be carried out; `weights` are None for the one that needs none."""

    method: Literal["fit", "encoder", "refine"]
    weights: str | Path | None


def _choose(method: Method, named: str | Path | None) -> _Choice:
    """Return what "auto" stands for and the weights to use, and refuse what cannot be done."""
    if method == "fit" and named is not None:
        raise UsageError(f"{named}: method 'fit' uses no weights; leave --weights out, or use --method refine")
    weights = packaged_encoder() if named is None else named
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
