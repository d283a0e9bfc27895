"""Calibration of the identity that the landmarks of several photos give: what is known of the detector's errors.

The errors of a detector's landmarks are large, the same for neighbouring landmarks, and alike in all photos of a
person. A fit that takes them as independent turns them into identity. On rendered people the true identity is known;
linear regression there tells which part of a fitted identity to believe (`smirk3d.train.recipes.shape_calibration`).
"""

# torch's own annotations are incomplete.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from smirk3d.assets import atomic_path
from smirk3d.bounded_io import parse_json
from smirk3d.errors import Smirk3dError
from smirk3d.head.data import HeadData
from smirk3d.zoo.registry import find

_TENSOR = "matrix"


@dataclass(frozen=True)
class ShapeCalibration:
    """A linear map of identity coefficients.

    Attributes:
        matrix: (S, S) float32; a calibrated shape is `shape @ matrix`.
        head: `HeadData.content_id` of the head whose coefficients these are.
        meta: Description, for the header of the file.
    """

    matrix: Tensor
    head: str
    meta: dict[str, str]

    def __call__(self, shape: Tensor) -> Tensor:
        """Return calibrated coefficients (..., S) of fitted ones (..., S)."""
        return shape @ self.matrix.to(shape)


def fit_calibration(fitted: Tensor, true: Tensor, mirror_sign: Tensor, ridge: float, share: float) -> Tensor:
    """Return the matrix (S, S) of a calibration.

    The regression is drawn towards a multiple of the identity matrix, since there are few people for so many numbers;
    and it treats a face like its mirror image.

    Args:
        fitted: (N, S) coefficients fitted to landmarks.
        true: (N, S) true coefficients.
        mirror_sign: (S,) ±1, the factor of each coefficient when a face is mirrored.
        ridge: Penalty on the squared difference from the multiple of the identity matrix, as many people.
        share: Of the regression in the result, in [0, 1]; the rest is the identity matrix. 1 is most accurate on the
            faces of the regression, less keeps heads nearer to the landmarks.
    """
    x, y = (torch.cat([each, each * mirror_sign]).double() for each in (fitted, true))
    one = torch.eye(x.shape[1], dtype=x.dtype)
    gain = (x * y).sum() / x.square().sum()
    regression = gain * one + torch.linalg.solve(x.T @ x + ridge * one, x.T @ (y - gain * x))
    return ((1 - share) * one + share * regression).float()


def save_shape_calibration(calibration: ShapeCalibration, path: Path) -> None:
    """Write a calibration in float16.

    Args:
        calibration: What is written.
        path: The file, .safetensors.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"head": calibration.head, "about": json.dumps(calibration.meta)}
    with atomic_path(path) as temporary:
        temporary.write_bytes(save({_TENSOR: calibration.matrix.half().contiguous()}, metadata=metadata))


def load_shape_calibration(path: Path | None = None) -> ShapeCalibration:
    """Read a calibration.

    Args:
        path: The file; None for the one that comes with the package.

    Raises:
        Smirk3dError: The file is missing or damaged.
    """
    path = find("shape_calibration") if path is None else path
    try:
        with safe_open(path, framework="pt") as file:
            matrix, metadata = file.get_tensor(_TENSOR).float(), file.metadata()
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.isfinite().all():
            raise ValueError("its matrix is not square and finite")
        return ShapeCalibration(matrix, metadata["head"], parse_json(metadata["about"]))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise Smirk3dError(f"{path}: cannot be read as a shape calibration ({error}); reinstall smirk3d") from error


def calibration_of(head: HeadData, n_shape: int) -> ShapeCalibration | None:
    """Return the packaged calibration where it is of this head with all its components, else None.

    Args:
        head: The head that is fitted.
        n_shape: Number of its identity components that are fitted.
    """
    calibration = load_shape_calibration()
    is_own = calibration.head == head.content_id and len(calibration.matrix) == n_shape
    return calibration if is_own else None
