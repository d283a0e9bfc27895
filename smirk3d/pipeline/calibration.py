"""What the detector's answer says about an expression: a linear reading learned from rendered heads.

MediaPipe smooths faces towards what it has seen most: its points barely follow a puffed cheek, and its scores
see a sneer where there is none. How its points and scores really answer to each ARKit action is measured once on
thousands of pictures of the open head (`scripts/calibrate_detector.py`) and inverted by ridge regression. No
photo takes part, and the result is a guess with a known error, which the fit uses as its prior.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from smirk3d.assets import atomic_path
from smirk3d.errors import Smirk3dError
from smirk3d.geometry.align import align

METRES_TO_FEATURE = 100.0
"""Points enter in centimetres, which puts them on the scale of the scores."""
FILE_NAME = "detector_calibration.safetensors"


@dataclass(frozen=True)
class Reading:
    """A linear reading of E = 52 weights from D features.

    Attributes:
        mean: (D,) of the features. matrix: (D, E). offset: (E,). std: (E,) error of each weight.
    """

    mean: Tensor
    matrix: Tensor
    offset: Tensor
    std: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """Return the expected weights (B, E) in [0, 1] of features (B, D)."""
        return ((features - self.mean) @ self.matrix + self.offset).clamp(0, 1)


@dataclass(frozen=True)
class Calibration:
    """The readings, with and without the detector's scores.

    Attributes:
        reference: (478, 3) landmarks of the mean open head in metres, to which marks are aligned.
        weight: (478,) trust in each point for the alignment.
        with_scores: reading of points and scores. points_only: reading of the points alone.
    """

    reference: Tensor
    weight: Tensor
    with_scores: Reading
    points_only: Reading

    def guess(self, points_px: Tensor, depth_px: Tensor, scores: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the expected ARKit weights (B, 52) and the standard deviation of their errors (52,).

        Args:
            points_px: (B, 478, 2) marks in pixels. depth_px: (B, 478). scores: (B, 52), or None to do without.
        """
        features = detector_features(self.reference, self.weight, points_px, depth_px)
        if scores is None:
            return self.points_only(features), self.points_only.std
        return self.with_scores(torch.cat([features, scores], dim=1)), self.with_scores.std

    def to(self, device: torch.device) -> Calibration:
        """Return a copy on another device."""

        def move(reading: Reading) -> Reading:
            return Reading(*(getattr(reading, f.name).to(device) for f in fields(Reading)))

        return Calibration(
            self.reference.to(device), self.weight.to(device), move(self.with_scores), move(self.points_only)
        )


def detector_features(reference: Tensor, weight: Tensor, points_px: Tensor, depth_px: Tensor) -> Tensor:
    """Return (B, 3 * 478): where the marks lie beside those of the mean head, with pose and size taken out."""
    marks = torch.cat([points_px * points_px.new_tensor([1.0, -1.0]), -depth_px.unsqueeze(-1)], dim=-1)
    placed = align(marks, reference.expand_as(marks), weight).apply(marks)
    return (placed - reference).flatten(1) * METRES_TO_FEATURE


def fit_reading(features: Tensor, weights: Tensor, ridge: float) -> Reading:
    """Return the ridge regression of weights (N, E) on features (N, D), scaled to unit variance inside.

    The errors' standard deviations are those of a second regression, on half of the rows, for the other half.
    """
    half = len(features) // 2
    trial = _ridge(features[:half], weights[:half], ridge)
    error = trial(features[half:]) - weights[half:]
    reading = _ridge(features, weights, ridge)
    return Reading(reading.mean, reading.matrix, reading.offset, error.square().mean(0).sqrt())


def _ridge(features: Tensor, weights: Tensor, ridge: float) -> Reading:
    x, y = features.double(), weights.double()
    mean, scale = x.mean(0), x.std(0) + 1e-3
    x = (x - mean) / scale
    gram = x.T @ x + ridge * torch.eye(x.shape[1], dtype=x.dtype)
    matrix = torch.linalg.solve(gram, x.T @ (y - y.mean(0))) / scale[:, None]
    return Reading(mean.float(), matrix.float(), y.mean(0).float(), torch.zeros(y.shape[1]))


def save_calibration(calibration: Calibration, path: Path, meta: dict[str, str]) -> None:
    """Write a calibration in float16 with a description in the header."""
    tensors = {"reference": calibration.reference, "weight": calibration.weight}
    for name in ("with_scores", "points_only"):
        reading = getattr(calibration, name)
        tensors |= {f"{name}/{f.name}": getattr(reading, f.name).half() for f in fields(Reading)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        save_file({k: v.contiguous() for k, v in tensors.items()}, temporary, metadata={"about": json.dumps(meta)})


def load_calibration(path: Path | None = None) -> Calibration:
    """Read a calibration; without a path the one that comes with the package.

    Raises:
        Smirk3dError: the file is missing or damaged.
    """
    path = Path(str(resources.files("smirk3d") / "data" / FILE_NAME)) if path is None else path
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118
    except (OSError, ValueError, RuntimeError) as error:
        raise Smirk3dError(f"{path}: cannot be read as a calibration ({error}); reinstall smirk3d") from error
    readings = [
        Reading(**{f.name: tensors[f"{name}/{f.name}"] for f in fields(Reading)})
        for name in ("with_scores", "points_only")
    ]
    return Calibration(tensors["reference"], tensors["weight"], *readings)
