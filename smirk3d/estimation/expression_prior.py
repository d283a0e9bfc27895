"""What the detector's answer says about an expression: a linear reading learned from rendered heads.

MediaPipe smooths faces towards what it has seen most: its points barely follow a puffed cheek, and its scores
see a sneer where there is none. How its points and scores really answer to each ARKit action is measured once on
thousands of pictures of the open head (`smirk3d.train.recipes.expression_prior`) and inverted by ridge regression. Photos
of calm faces only set how much a reading must exceed before it counts. The result is a guess with a known error,
which the fit uses as its prior.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from smirk3d.assets import atomic_path
from smirk3d.errors import Smirk3dError
from smirk3d.geometry.align import align
from smirk3d.head.arkit import ARKIT_MIRROR, ARKIT_NAMES, resolve_antagonists
from smirk3d.zoo.registry import find

METRES_TO_FEATURE = 100.0
"""Points enter in centimetres, which puts them on the scale of the scores."""
MIN_PRIOR_RELAXATION = 0.1
"""Share of a reading's error by which landmarks may move an action that the detector does not answer to."""
MIN_EXPLAINED_VARIANCE = 0.15
"""Actions of which less than this share of the variance is explained are not stretched."""
NEUTRAL_QUANTILE = 0.5
"""Share of calm photos that are to read nothing."""
MAX_GAIN = 1.8
OVERSHOOT = 1.3
"""Makes good the strength that the floor takes away."""


@dataclass(frozen=True)
class BlendshapeRegressor:
    """A linear reading of E = 52 weights from D features.

    Attributes:
        mean: (D,) of the features. matrix: (D, E). offset: (E,). std: (E,) error of each weight.
        explained: (E,) in [0, 1], share of each weight's variance that the reading explains.
    """

    mean: Tensor
    matrix: Tensor
    offset: Tensor
    std: Tensor
    explained: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """Return the expected weights (B, E) in [0, 1] of features (B, D)."""
        return self.linear(features).clamp(0, 1)

    def linear(self, features: Tensor) -> Tensor:
        """Return the weights (B, E) before they are limited to their range."""
        return (features - self.mean) @ self.matrix + self.offset

    @property
    def give(self) -> Tensor:
        """Share (E,) of the error of a reading by which the fit may move each weight from it."""
        return MIN_PRIOR_RELAXATION + (1 - MIN_PRIOR_RELAXATION) * self.explained

    @property
    def prior_std(self) -> Tensor:
        """Standard deviation (E,) that the fit leaves each weight around its reading."""
        return self.std * self.give

    @property
    def likelihood_std(self) -> Tensor:
        """Error (E,) of each reading as one voice among several; infinite where the features say nothing.

        Regression leans on what is common: where nothing is explained it names the usual value, whose error is
        but the spread of the truth. Of the precision 1 / std^2 only the share that is explained comes from the face.
        """
        return self.std * (self.explained * self.matrix.any(0)).rsqrt()


@dataclass(frozen=True)
class DetectorCalibration:
    """The readings, with and without the detector's scores.

    Attributes:
        reference: (478, 3) landmarks of the mean open head in metres, to which marks are aligned.
        weight: (478,) trust in each point for the alignment.
        with_scores: reading of points and scores. points_only: reading of the points alone.
    """

    reference: Tensor
    weight: Tensor
    with_scores: BlendshapeRegressor
    points_only: BlendshapeRegressor

    def reading(self, with_scores: bool) -> BlendshapeRegressor:
        """Return the reading that knows the detector's scores, or that of the points alone."""
        return self.with_scores if with_scores else self.points_only

    def guess(self, points_px: Tensor, depth_px: Tensor, scores: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the expected ARKit weights (B, 52) and how far landmarks may pull each from there (52,).

        An action that the detector answers to well may be pulled by about the error of its reading. One that
        it hardly answers to is held: its landmarks say more about the detector than about the face.

        Args:
            points_px: (B, 478, 2) marks in pixels. depth_px: (B, 478). scores: (B, 52), or None to do without.
        """
        features = detector_features(self.reference, self.weight, points_px, depth_px)
        reading = self.reading(scores is not None)
        seen = features if scores is None else torch.cat([features, scores], dim=1)
        return resolve_antagonists(reading(seen)), reading.prior_std

    def to(self, device: torch.device) -> DetectorCalibration:
        """Return a copy on another device."""

        def move(reading: BlendshapeRegressor) -> BlendshapeRegressor:
            return BlendshapeRegressor(*(getattr(reading, f.name).to(device) for f in fields(BlendshapeRegressor)))

        return DetectorCalibration(
            self.reference.to(device), self.weight.to(device), move(self.with_scores), move(self.points_only)
        )


def detector_features(reference: Tensor, weight: Tensor, points_px: Tensor, depth_px: Tensor) -> Tensor:
    """Return (B, 3 * 478): where the marks lie beside those of the mean head, with pose and size taken out."""
    marks = torch.cat([points_px * points_px.new_tensor([1.0, -1.0]), -depth_px.unsqueeze(-1)], dim=-1)
    placed = align(marks, reference.expand_as(marks), weight).apply(marks)
    return (placed - reference).flatten(1) * METRES_TO_FEATURE


def fit_blendshape_regressor(
    features: Tensor, weights: Tensor, ridge: float, everyday: Tensor | None = None
) -> BlendshapeRegressor:
    """Return a reading of weights (N, E) from features (N, D): ridge regression, then sharpened.

    Regression alone calls a weak expression where it is in doubt, and half of a strong one. So what calm faces
    (rows of zero weights) read is taken off, mean and one standard deviation, and the rest is stretched to the
    spread of the true weights, as far as an action is explained at all.

    `everyday` (M, D) are features of photos of calm faces, if there are any at hand: real faces are not shaped
    like rendered ones, and what most of them read is their shape, not an expression.

    Errors and explained shares are those of a reading of the first half of the rows on the second half.
    """
    half = len(features) // 2
    trial = _ridge(features[:half], weights[:half], ridge)
    rest = weights[half:]
    # An action that no row shows has no variance, of which nothing is explained.
    missed = (trial(features[half:]) - rest).square().mean(0) / rest.var(0)
    explained = torch.where(rest.var(0) > 0, 1 - missed, 0.0).clamp(0, 1)
    calm = trial.linear(features[half:][(rest == 0).all(1)])
    floor = calm.mean(0) + calm.std(0)
    if everyday is not None:
        floor = torch.maximum(floor, trial.linear(everyday).quantile(NEUTRAL_QUANTILE, dim=0))
    # Photos are not mirrored, and left and right must be read alike.
    mirror = list(ARKIT_MIRROR)
    floor, explained = torch.maximum(floor, floor[mirror]), (explained + explained[mirror]) / 2
    stretch = torch.where(explained > MIN_EXPLAINED_VARIANCE, explained.clamp_min(0.05) ** -0.5, 1.0).clamp_max(
        MAX_GAIN
    )
    # No landmark lies on the tongue; what follows it in the pictures is only the open mouth that it needs.
    stretch[ARKIT_NAMES.index("tongueOut")] = 0.0
    sharpened = [_sharpen(reading, floor, OVERSHOOT * stretch) for reading in (trial, _ridge(features, weights, ridge))]
    error = (sharpened[0](features[half:]) - rest).square().mean(0).sqrt()
    error = (error + error[mirror]) / 2
    return replace(sharpened[1], std=error, explained=explained)


def _sharpen(reading: BlendshapeRegressor, floor: Tensor, gain: Tensor) -> BlendshapeRegressor:
    return replace(reading, matrix=reading.matrix * gain, offset=(reading.offset - floor) * gain)


def _ridge(features: Tensor, weights: Tensor, ridge: float) -> BlendshapeRegressor:
    x, y = features.double(), weights.double()
    mean, scale = x.mean(0), x.std(0) + 1e-3
    x = (x - mean) / scale
    gram = x.T @ x + ridge * torch.eye(x.shape[1], dtype=x.dtype)
    matrix = torch.linalg.solve(gram, x.T @ (y - y.mean(0))) / scale[:, None]
    return BlendshapeRegressor(mean.float(), matrix.float(), y.mean(0).float(), *torch.zeros(2, y.shape[1]))


def save_calibration(calibration: DetectorCalibration, path: Path, meta: dict[str, str]) -> None:
    """Write a calibration in float16 with a description in the header."""
    tensors = {"reference": calibration.reference, "weight": calibration.weight}
    for name in ("with_scores", "points_only"):
        reading = getattr(calibration, name)
        tensors |= {f"{name}/{f.name}": getattr(reading, f.name).half() for f in fields(BlendshapeRegressor)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        plain = {name: tensor.contiguous() for name, tensor in tensors.items()}
        temporary.write_bytes(save(plain, metadata={"about": json.dumps(meta)}))


def load_calibration(path: Path | None = None) -> DetectorCalibration:
    """Read a calibration; without a path the one that comes with the package.

    Raises:
        Smirk3dError: the file is missing or damaged.
    """
    path = find("expression_prior") if path is None else path
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118
        readings = [
            BlendshapeRegressor(**{f.name: tensors[f"{name}/{f.name}"] for f in fields(BlendshapeRegressor)})
            for name in ("with_scores", "points_only")
        ]
        return DetectorCalibration(tensors["reference"], tensors["weight"], *readings)
    # A KeyError is what another kind of safetensors file ends in.
    except (OSError, KeyError, SafetensorError) as error:
        raise Smirk3dError(f"{path}: cannot be read as a calibration ({error}); reinstall smirk3d") from error
