"""The method "encoder": regression of heads from crops of the photo by a trained network."""

# torch's own annotations are incomplete.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from smirk3d.authoring.load import load_head
from smirk3d.detection.crop import Crop, camera_from_crop, camera_to_crop
from smirk3d.detection.detector import N_LANDMARKS
from smirk3d.errors import Smirk3dError
from smirk3d.estimation.estimator import FaceObservation, HeadEstimates, Intrinsics
from smirk3d.estimation.keyframes import select_neutral_keyframes, thinned
from smirk3d.estimation.projection import Pose
from smirk3d.geometry.align import Similarity
from smirk3d.geometry.camera import Camera
from smirk3d.geometry.euler import angles_from_rotation
from smirk3d.geometry.rotations import rotvec_to_rotmat
from smirk3d.head.landmark_indices import OUTER_EYE_CORNERS
from smirk3d.head.model import HeadModel
from smirk3d.head.retargeting.retargeter import find_retargeter
from smirk3d.head.spec import ParamSpec
from smirk3d.networks.encoder import Encoder
from smirk3d.networks.face_window import FaceWindow, perturb_roi
from smirk3d.params import FaceParams

CROP_SCALE = 1.4
"""Side of the crop over that of the landmarks' box, as in the released SMIRK code."""
MAX_BATCH = 4
"""Crops or windows that go through the encoder together; on a CPU larger batches leave the cache and take longer per
crop, and smaller ones take longer, too."""
TTA_OFFSETS = ((-3.0, 0.02), (3.0, -0.02))
"""Test-time augmentation: rotation in degrees and shift of the windows over which a face's prediction is averaged.

The mean changes less than a single prediction when an image is only moved or compressed differently. The offsets are
symmetric, so a mirrored photo is treated alike.
"""


class ExpressionEncoder(Protocol):
    """Predicts the expressions of detected faces."""

    def predict_expression(self, faces: Sequence[FaceObservation], alignment: Similarity) -> FaceParams:
        """Predict expressions.

        Args:
            faces: N detected faces.
            alignment: N maps from metres of the head frame to pixels of the photo, y upwards: where the landmarks
                put the mean head.

        Returns:
            The expression, and jaw and eyelids where the encoder's head has them, fields (N, ...).
        """
        ...


@dataclass(frozen=True)
class CropEncoder:
    """An encoder with the crops that it reads; an `ExpressionEncoder`.

    Attributes:
        run: Crops (N, 3, S, S) in [0, 1] to parameters, fields (N, ...).
        size_px: S.
        device: Where it computes.
        antialias: Average over the area of the photo that a pixel of the crop covers; the released weights were
            trained on point samples instead.
    """

    run: Callable[[Tensor], FaceParams]
    size_px: int
    device: torch.device
    antialias: bool = False

    def __call__(self, faces: Sequence[FaceObservation]) -> tuple[FaceParams, list[Crop]]:
        """Return the parameters of N faces, fields (N, ...) on the encoder's device, and the N crops."""
        crops = [Crop.from_landmarks(face.detection.landmarks_px, CROP_SCALE, self.size_px) for face in faces]
        parts: list[dict[str, Tensor]] = []
        for start in range(0, len(crops), MAX_BATCH):
            batch = slice(start, start + MAX_BATCH)
            pairs = zip(crops[batch], faces[batch])
            images = [crop.cut(face.photo.pixels, antialias=self.antialias) for crop, face in pairs]
            parts.append(dict(self.run(torch.stack(images).to(self.device)).items()))
        return _concatenated(parts), crops

    def predict_expression(self, faces: Sequence[FaceObservation], alignment: Similarity) -> FaceParams:
        """See `ExpressionEncoder`; the crops depend on the landmarks' box alone."""
        params, _ = self(faces)
        return params


@dataclass(frozen=True)
class WindowEncoder:
    """The expression branch of an encoder with the upright windows that it reads; an `ExpressionEncoder`.

    Attributes:
        run: Windows (N, 3, P, P) in [0, 1] to parameters, fields (N, ...).
        window: Where the windows lie on the head.
        size_px: Side of the crops from which they are cut, as in training.
        device: Where it computes.
    """

    run: Callable[[Tensor], FaceParams]
    window: FaceWindow
    size_px: int
    device: torch.device

    @torch.inference_mode()
    def predict_expression(self, faces: Sequence[FaceObservation], alignment: Similarity) -> FaceParams:
        """See `ExpressionEncoder`; the landmarks place a window more reliably than an encoder's own coarse pose."""
        crops = [Crop.from_landmarks(face.detection.landmarks_px, CROP_SCALE, self.size_px) for face in faces]
        root = alignment.scale.new_tensor(self.window.root_m)
        places = self.window.affine_from_pose(*camera_to_crop(alignment, root, crops)).cpu()
        parts: list[dict[str, Tensor]] = []
        step = MAX_BATCH // len(TTA_OFFSETS)
        for start in range(0, len(crops), step):
            batch = slice(start, start + step)
            pairs = zip(crops[batch], faces[batch])
            images = [crop.cut(face.photo.pixels, antialias=True) for crop, face in pairs]
            parts.append(self._test_time_average(torch.stack(images), places[batch]))
        return _concatenated(parts)

    def _test_time_average(self, crops: Tensor, places: Tensor) -> dict[str, Tensor]:
        """Return the mean prediction, name -> (N, ...), over the windows of `TTA_OFFSETS`."""
        windows = [self.window.extract(crops, perturb_roi(places, *offset)) for offset in TTA_OFFSETS]
        predicted = self.run(torch.cat(windows).to(self.device))  # all windows in one call
        return {name: values.unflatten(0, (len(TTA_OFFSETS), -1)).mean(0) for name, values in predicted.items()}


class RegressionEstimator:
    """Predicts heads with an encoder; an `Estimator`.

    The camera is the scaled orthographic one that the encoder predicts for its crop, converted to the photo.

    Args:
        head: The head model that the encoder was trained for, with as many coefficients as it predicts.
        encoder: Predicts all parameters of the head.
    """

    method = "encoder"

    def __init__(self, head: HeadModel, encoder: CropEncoder) -> None:
        self.head, self.encoder = head, encoder
        params = [(name, "f4", head.spec[name].size) for name in head.spec.names]
        crop = [("crop_x0", "f8"), ("crop_y0", "f8"), ("crop_side_px", "f8"), ("crop_size", "i4")]
        self.dtype = np.dtype([*params, *crop, ("landmarks_px", "f4", (N_LANDMARKS, 2)), ("image_size", "i4", 2)])

    @torch.no_grad()
    def observe(self, faces: Sequence[FaceObservation]) -> np.ndarray:
        """See `Estimator`; the records hold the prediction, the crop, and the landmarks for the residual."""
        records = np.zeros(len(faces), dtype=self.dtype)
        if not faces:
            return records
        params, crops = self.encoder(faces)
        for name, value in params.items():
            records[name] = value.cpu().numpy()
        for record, face, crop in zip(records, faces, crops):
            record["crop_x0"], record["crop_y0"] = crop.x0, crop.y0
            record["crop_side_px"], record["crop_size"] = crop.side_px, crop.size
            record["landmarks_px"], record["image_size"] = face.detection.landmarks_px, face.photo.size
        return records

    def intrinsics(self, records: np.ndarray, shared: bool = False) -> Intrinsics:
        """See `Estimator`; always orthographic."""
        return Intrinsics.orthographic(records["image_size"])

    def identity(self, records: np.ndarray, intrinsics: Intrinsics) -> np.ndarray:
        """See `Estimator`; the mean of the shapes that were predicted for neutral keyframes of all views."""
        rows = thinned(len(records))
        records = np.array(records[rows])
        estimates = self.solve(records, intrinsics[rows])
        angles_deg = np.array([angles_from_rotation(rotmat) for rotmat in estimates.pose.rotmat.numpy()])
        return records["shape"][select_neutral_keyframes(angles_deg, estimates.arkit.cpu().numpy().sum(1))].mean(0)

    @torch.no_grad()
    def solve(
        self,
        records: np.ndarray,
        intrinsics: Intrinsics,
        identity: np.ndarray | None = None,
        person: np.ndarray | None = None,
    ) -> HeadEstimates:
        """See `Estimator`; the predicted shapes of a person are averaged.

        The encoder predicts shape, pose and camera of a face together. So with a known identity, camera and residual
        are still those of the predicted shape.
        """
        values = {name: self._tensor(records[name]) for name in self.head.spec.names}
        camera = values.pop("camera")
        if person is not None and identity is None:
            values["shape"] = _mean_of_person(values["shape"], torch.from_numpy(person).to(camera.device))
        params = FaceParams(**values)
        mesh, rotmat = self.head(params), rotvec_to_rotmat(values["pose"].double())
        root = mesh.joints[:, 0].double()
        rotmats, roots, own_cameras = (value.cpu().numpy() for value in (rotmat, root, camera.double()))
        crops = [_crop(record) for record in records]
        cameras = [camera_from_crop(*each) for each in zip(rotmats, roots, own_cameras, crops, strict=True)]
        unposed = (mesh.landmarks("mediapipe") - root[:, None]) @ rotmat + root[:, None]
        residual = _residual(unposed.cpu().numpy(), cameras, records["landmarks_px"])
        retargeter = find_retargeter(self.head)
        arkit = values["expression"] if retargeter is None else retargeter.to_arkit(params).weights
        shape = values["shape"] if identity is None else self._tensor(identity).expand(len(records), -1)
        return HeadEstimates(shape, arkit, _pose(cameras), residual, params.replace(shape=None))

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.array(values, dtype=np.float32)).to(self.head.v_template.device)


def _concatenated(parts: Sequence[dict[str, Tensor]]) -> FaceParams:
    return FaceParams(**{name: torch.cat([part[name] for part in parts]) for name in parts[0]})


def _crop(record: np.void) -> Crop:
    return Crop(
        float(record["crop_x0"]), float(record["crop_y0"]), float(record["crop_side_px"]), int(record["crop_size"])
    )


def _pose(cameras: Sequence[Camera]) -> Pose:
    """Return N scaled orthographic cameras as one batch, float64."""
    scale = np.array([camera.scale_px_per_m for camera in cameras])
    shift_m = np.stack([camera.translation_m[:2] for camera in cameras])
    return Pose(
        rotmat=torch.from_numpy(np.stack([camera.rotation_rotmat for camera in cameras])),
        scale=torch.from_numpy(scale),
        offset_px=torch.from_numpy(shift_m * scale[:, None] * (1.0, -1.0)),
        center_px=torch.from_numpy(np.stack([camera.center_px for camera in cameras])),
        focal_px=torch.full((len(cameras),), torch.inf, dtype=torch.float64),
    )


def _residual(points: np.ndarray, cameras: Sequence[Camera], landmarks_px: np.ndarray) -> Tensor:
    """Return mean distances (N,) of points (N, L, 3) from landmarks (N, L, 2), over that of the outer eye corners."""
    residuals: list[float] = []
    for each, camera, detected_px in zip(points, cameras, landmarks_px):
        right, left = detected_px[list(OUTER_EYE_CORNERS)]
        error_px = np.linalg.norm(camera.project(each) - detected_px, axis=1).mean()
        residuals.append(error_px / max(float(np.linalg.norm(left - right)), 1.0))
    return torch.tensor(residuals)


def _mean_of_person(shape: Tensor, person: Tensor) -> Tensor:
    """Return for each of N faces the mean shape (N, S) of the person's faces."""
    count = torch.bincount(person).to(shape.dtype)
    total = shape.new_zeros(len(count), shape.shape[1]).index_add(0, person, shape)
    return (total / count[:, None])[person]


def crop_encoder(
    encoder: Encoder, engine: Literal["torch", "onnx"], device: torch.device, *, expression_only: bool = False
) -> CropEncoder:
    """Prepare an encoder for inference on crops.

    Args:
        encoder: The network.
        engine: What runs it.
        device: Where it runs; "onnx" runs on the CPU.
        expression_only: Run only what the expression needs.

    Raises:
        Smirk3dError: The engine is not installed, or not for this device.
    """
    # Only this package's own encoders have a window; they were trained on antialiased crops, the released ones not.
    antialias = encoder.config.window is not None
    if engine == "torch":
        fast = encoder.for_inference(rounded=antialias).to(device)

        def predict_expression(crops: Tensor) -> FaceParams:
            return FaceParams(**fast.expression(crops))

        return CropEncoder(predict_expression if expression_only else fast, encoder.size_px, device, antialias)
    _check_onnx(device)
    from smirk3d.networks.onnx_engine import OnnxEncoder

    onnx = OnnxEncoder(encoder, size_px=encoder.size_px, expression_only=expression_only)
    return CropEncoder(onnx, encoder.size_px, device, antialias)


def window_encoder(encoder: Encoder, engine: Literal["torch", "onnx"], device: torch.device) -> WindowEncoder:
    """Prepare the expression branch of an encoder that reads windows for inference.

    Args:
        encoder: The network; its configuration has a window.
        engine: What runs it.
        device: Where it runs; "onnx" runs on the CPU.

    Raises:
        Smirk3dError: The engine is not installed, or not for this device.
    """
    window = encoder.config.window
    assert window is not None
    if engine == "torch":
        fast = encoder.for_inference(rounded=True, expression_only=True).to(device)
        return WindowEncoder(
            lambda windows: FaceParams(**fast.regress_expression(windows)), window, encoder.size_px, device
        )
    _check_onnx(device)
    from smirk3d.networks.onnx_engine import OnnxEncoder

    onnx = OnnxEncoder(encoder, size_px=window.size_px, expression_only=True, from_windows=True)
    return WindowEncoder(onnx, window, encoder.size_px, device)


def _check_onnx(device: torch.device) -> None:
    if device.type != "cpu":
        raise Smirk3dError(f"engine 'onnx' computes on the CPU, not on {device.type}; use --engine torch")


def head_for(spec: ParamSpec, head: str | Path | HeadModel, weights: str | Path) -> HeadModel:
    """Return a head with as many coefficients as an encoder predicts.

    Args:
        spec: Parameters that the encoder predicts.
        head: The head model, or what `load_head` reads it from.
        weights: Name of the encoder's file, for error messages.

    Raises:
        Smirk3dError: The encoder was not trained for this head.
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
