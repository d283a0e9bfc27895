"""The method "encoder": heads from crops of the photo by a trained network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import roma
import torch
from torch import Tensor

from smirk3d.authoring.load import load_head
from smirk3d.detection.crop import Crop, camera_from_crop, camera_to_crop
from smirk3d.errors import Smirk3dError
from smirk3d.estimation.estimator import FaceObservation, make_faces
from smirk3d.face import Face
from smirk3d.geometry.align import Similarity
from smirk3d.geometry.camera import Camera
from smirk3d.head.landmark_indices import OUTER_EYE_CORNERS
from smirk3d.head.model import HeadModel
from smirk3d.head.retargeting.retargeter import Retargeter
from smirk3d.head.spec import ParamSpec
from smirk3d.networks.encoder import Encoder
from smirk3d.networks.face_window import FaceWindow, perturb_roi
from smirk3d.params import FaceParams

CROP_SCALE = 1.4
"""Side of the crop over that of the face's landmarks."""
ENCODED_AT_ONCE = 4
"""Crops that go through the encoder together; on a CPU more of them take longer each, because they leave its cache."""
TTA_OFFSETS = ((-3.0, 0.02), (3.0, -0.02))
"""Turns in degrees and shifts of the windows that one face is read from; the mirror image has the same.

The mean of their answers hardly changes when a picture is only moved, or compressed otherwise: chance, which lets
pixels fall one way or another, tells each of them something else.
"""


@dataclass(frozen=True)
class CropEncoder:
    """An encoder and the crops that it reads.

    Attributes:
        run: Crops (B, 3, S, S) in [0, 1] to parameters of batch shape (B,).
        size_px: S.
        device: Where it computes.
        antialias: Average over what a pixel of the crop covers in the photo; the released weights know only samples.
    """

    run: Callable[[Tensor], FaceParams]
    size_px: int
    device: torch.device
    antialias: bool = False

    def __call__(self, face_observations: Sequence[FaceObservation]) -> tuple[FaceParams, list[Crop]]:
        """Return the parameters (B, ...) of B faces on the encoder's device, and the crops that show them."""
        crops = [
            Crop.from_landmarks(each.detection.landmarks_px, CROP_SCALE, self.size_px) for each in face_observations
        ]
        parts = []
        for start in range(0, len(crops), ENCODED_AT_ONCE):
            some = slice(start, start + ENCODED_AT_ONCE)
            cuts = [
                crop.cut(each.photo.pixels, antialias=self.antialias)
                for crop, each in zip(crops[some], face_observations[some])
            ]
            parts.append(dict(self.run(torch.stack(cuts).to(self.device)).items()))
        return FaceParams(**{name: torch.cat([part[name] for part in parts]) for name in parts[0]}), crops


@dataclass(frozen=True)
class WindowEncoder:
    """The part of an encoder that says the expression, and the upright windows that it reads, `TTA_OFFSETS` for each face.

    Attributes:
        run: Windows (B, 3, P, P) in [0, 1] to parameters of batch shape (B,).
        window: Where they are. size_px: Side of the crops from which they are cut, as in training.
        device: Where it computes.
    """

    run: Callable[[Tensor], FaceParams]
    window: FaceWindow
    size_px: int
    device: torch.device

    def __call__(self, face_observations: Sequence[FaceObservation], placed: Similarity) -> FaceParams:
        """Return the expressions (B, ...) of B faces on the encoder's device.

        Args:
            face_observations: The faces. placed: From metres of their head frames to pixels of their photos, y upwards.
        """
        crops = [
            Crop.from_landmarks(each.detection.landmarks_px, CROP_SCALE, self.size_px) for each in face_observations
        ]
        root = placed.scale.new_tensor(self.window.root_m)
        places = self.window.affine_from_pose(*camera_to_crop(placed, root, crops)).cpu()
        parts = []
        for start in range(0, len(crops), ENCODED_AT_ONCE):
            some = slice(start, start + ENCODED_AT_ONCE)
            cuts = [
                crop.cut(each.photo.pixels, antialias=True) for crop, each in zip(crops[some], face_observations[some])
            ]
            parts.append(self._test_time_average(torch.stack(cuts), places[some]))
        return FaceParams(**{name: torch.cat([part[name] for part in parts]) for name in parts[0]})

    def _test_time_average(self, crops: Tensor, places: Tensor) -> dict[str, Tensor]:
        windows = (self.window.extract(crops, perturb_roi(places, *look)) for look in TTA_OFFSETS)
        said = [dict(self.run(each.to(self.device)).items()) for each in windows]
        return {name: torch.stack([each[name] for each in said]).mean(0) for name in said[0]}


class RegressionEstimator:
    """Estimates heads with an encoder.

    The camera is the scaled orthographic one that the encoder emits, moved from the crop into the photo.

    Args:
        head: the model that the encoder was trained for, with as many coefficients as it emits.
        encoder: it emits all parameters of the head.
        actions: reads ARKit weights off the head; None for heads whose expressions they are.
    """

    def __init__(self, head: HeadModel, encoder: CropEncoder, actions: Retargeter | None = None) -> None:
        self.head, self.encoder, self.actions = head, encoder, actions

    @torch.no_grad()
    def __call__(self, face_observations: Sequence[FaceObservation], person: Tensor) -> list[Face]:
        """Return one face for each observation; see `Estimator`. Faces of one person get the mean of their shapes."""
        device = self.head.v_template.device
        said, crops = self.encoder(face_observations)
        seen = dict(said.to(device).items())
        camera = seen.pop("camera")
        seen["shape"] = _mean_of_person(seen["shape"], person.to(device))
        params = FaceParams(**seen)
        mesh, rotmat = self.head(params), roma.rotvec_to_rotmat(seen["pose"].double())
        root = mesh.joints[:, 0].double()
        views = (each.double().cpu().numpy() for each in (rotmat, root, camera))
        cameras = [camera_from_crop(turn, at, seen_by, crop) for turn, at, seen_by, crop in zip(*views, crops)]
        unturned = (mesh.landmarks("mediapipe") - root[:, None]) @ rotmat + root[:, None]
        residual = _residual(unturned.cpu().numpy(), cameras, face_observations)
        arkit = seen["expression"] if self.actions is None else self.actions.to_arkit(params).weights
        return make_faces(self.head, face_observations, params, arkit, cameras, residual, "encoder")


def _residual(points: np.ndarray, cameras: Sequence[Camera], face_observations: Sequence[FaceObservation]) -> Tensor:
    """Return (B,) how far landmarks (B, L, 3) are from the detected ones, in outer eye corners' distances."""
    found = []
    for each, camera, observation in zip(points, cameras, face_observations):
        detected_px = observation.detection.landmarks_px
        right, left = detected_px[list(OUTER_EYE_CORNERS)]
        miss = np.linalg.norm(camera.project(each) - detected_px, axis=1).mean()
        found.append(miss / max(float(np.linalg.norm(left - right)), 1.0))
    return torch.tensor(found)


def _mean_of_person(shape: Tensor, person: Tensor) -> Tensor:
    count = torch.bincount(person).to(shape.dtype)
    total = shape.new_zeros(len(count), shape.shape[1]).index_add(0, person, shape)
    return (total / count[:, None])[person]


def crop_encoder(
    encoder: Encoder, engine: Literal["torch", "onnx"], device: torch.device, *, expression_only: bool = False
) -> CropEncoder:
    """Return the encoder, or no more of it than the expression needs, as an engine runs it.

    Raises:
        Smirk3dError: the engine is not installed, or not for this device.
    """
    antialias = encoder.config.window is not None  # a sign of weights of our own, which learned from such crops
    if engine == "torch":
        fast = encoder.for_inference().to(device)
        run = (lambda crops: FaceParams(**fast.expression(crops))) if expression_only else fast
        return CropEncoder(run, encoder.size_px, device, antialias)
    _check_onnx(device)
    from smirk3d.networks.onnx_engine import OnnxEncoder

    onnx = OnnxEncoder(encoder, size_px=encoder.size_px, expression_only=expression_only)
    return CropEncoder(onnx, encoder.size_px, device, antialias)


def window_encoder(encoder: Encoder, engine: Literal["torch", "onnx"], device: torch.device) -> WindowEncoder:
    """Return the part of an encoder with windows that says the expression, as an engine runs it.

    Raises:
        Smirk3dError: the engine is not installed, or not for this device.
    """
    window = encoder.config.window
    assert window is not None
    if engine == "torch":
        fast = encoder.for_inference().to(device)
        return WindowEncoder(lambda seen: FaceParams(**fast.regress_expression(seen)), window, encoder.size_px, device)
    _check_onnx(device)
    from smirk3d.networks.onnx_engine import OnnxEncoder

    onnx = OnnxEncoder(encoder, size_px=window.size_px, expression_only=True, from_windows=True)
    return WindowEncoder(onnx, window, encoder.size_px, device)


def _check_onnx(device: torch.device) -> None:
    if device.type != "cpu":
        raise Smirk3dError(f"engine 'onnx' computes on the CPU, not on {device.type}; use --engine torch")


def head_for(spec: ParamSpec, head: str | Path | HeadModel, weights: str | Path) -> HeadModel:
    """Return the head with the sizes that an encoder emits.

    Raises:
        Smirk3dError: the encoder was not trained for such a head.
    """
    model = head if isinstance(head, HeadModel) else load_head(head)
    try:
        model = HeadModel(model.data, spec["shape"].size, spec["expression"].size)
    except ValueError as error:
        raise Smirk3dError(
            f"{weights}: its encoder is not for the head {model.data.name!r} ({error}); name the right one with --head"
        ) from error
    missing = sorted(set(spec.names) ^ set(model.spec.names))
    if missing:
        raise Smirk3dError(
            f"{weights}: its encoder is not for the head {model.data.name!r}: only one of them has "
            f"{', '.join(missing)}; name the head with --head"
        )
    return model
