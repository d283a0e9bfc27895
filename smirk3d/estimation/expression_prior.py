"""The prior of an expression from the detector's output: a ridge regression that was learned from rendered heads.

MediaPipe's landmarks are biased towards common faces: they barely follow a puffed cheek, and its blendshape scores
report a sneer where there is none. How landmarks and scores respond to each ARKit blendshape is measured once on
thousands of renderings of the open head (`smirk3d.train.recipes.expression_prior`) and inverted by ridge
regression. Photos of neutral faces only set how large a regressed weight must be before it counts. The result is an
expected expression with a known error, which the landmark fit uses as its prior.
"""

# torch's own annotations are incomplete.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

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
"""Landmarks enter in centimetres, which puts them on the scale of the scores."""
MIN_PRIOR_STD = 0.01
"""Smallest standard deviation of a weight, which keeps the normal equations well conditioned."""
MIN_PRIOR_RELAXATION = 0.1
"""Share of the regression's error by which landmarks may move a weight to which the detector does not respond."""
MIN_EXPLAINED_VARIANCE = 0.15
"""Weights of which less than this share of the variance is explained are not stretched."""
NEUTRAL_QUANTILE = 0.5
"""Share of the photos of neutral faces that are to show no expression."""
MAX_GAIN = 1.8
OVERSHOOT = 1.3
"""Makes up for the strength that the floor takes away."""


@dataclass(frozen=True)
class ExpressionPrior:
    """A Gaussian prior on the expressions of N faces, with independent weights.

    Attributes:
        mean: (N, E) expected expression weights in [0, 1].
        std: (E,) standard deviations of their errors.
        scale: Multiple of `std` that the fit uses: 1 for the prior as it is, less for a narrower one, 0 to fix the
            expression at the mean.
    """

    mean: Tensor
    std: Tensor
    scale: float = 1.0

    @property
    def is_fixed(self) -> bool:
        """Whether the expression can be nothing but the mean."""
        return self.scale == 0

    @property
    def precision(self) -> Tensor:
        """Inverse variances (E,) that the fit uses."""
        return (self.scale * self.std).clamp_min(MIN_PRIOR_STD) ** -2


@dataclass(frozen=True)
class BlendshapeRegressor:
    """A linear regressor of E = 52 ARKit weights from D features, with its error model.

    Attributes:
        mean: (D,) mean of the features.
        matrix: (D, E) weights per unit of each feature.
        offset: (E,) weights at the mean of the features.
        std: (E,) root mean square error of each weight.
        explained: (E,) share of each weight's variance that the regressor explains, in [0, 1].
    """

    mean: Tensor
    matrix: Tensor
    offset: Tensor
    std: Tensor
    explained: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """Return the expected weights (N, E) in [0, 1] of features (N, D)."""
        return self.linear(features).clamp(0, 1)

    def linear(self, features: Tensor) -> Tensor:
        """Return the weights (N, E) of features (N, D) before they are limited to their range."""
        return (features - self.mean) @ self.matrix + self.offset

    @property
    def prior_relaxation(self) -> Tensor:
        """Share (E,) of the regressor's error by which landmarks may move each weight, in (0, 1].

        A weight that the detector explains well may move by about the error. One that it hardly responds to is held:
        there the landmarks reflect the detector's bias more than the face.
        """
        return MIN_PRIOR_RELAXATION + (1 - MIN_PRIOR_RELAXATION) * self.explained

    @property
    def prior_std(self) -> Tensor:
        """Standard deviation (E,) of each weight as a prior of the landmark fit."""
        return self.std * self.prior_relaxation

    @property
    def likelihood_std(self) -> Tensor:
        """Standard deviation (E,) of each weight as one measurement among several; infinite without information.

        Regression shrinks towards the mean: where nothing is explained it returns the usual value, and its error is
        the spread of the true weights. Of the precision 1 / std^2 only the explained share comes from the face.
        """
        return self.std * (self.explained * self.matrix.any(0)).rsqrt()


@dataclass(frozen=True)
class DetectorCalibration:
    """The regressors with and without the detector's blendshape scores.

    Attributes:
        reference: (478, 3) landmarks of the mean open head, metres, with which detected ones are aligned.
        weight: (478,) weight of each landmark in the alignment.
        with_scores: Regressor from landmarks and scores.
        points_only: Regressor from landmarks alone.
    """

    reference: Tensor
    weight: Tensor
    with_scores: BlendshapeRegressor
    points_only: BlendshapeRegressor

    def regressor(self, with_scores: bool) -> BlendshapeRegressor:
        """Return the regressor from landmarks and scores, or the one from landmarks alone."""
        return self.with_scores if with_scores else self.points_only

    def prior(self, points_px: Tensor, depth_px: Tensor, scores: Tensor | None) -> ExpressionPrior:
        """Return the prior that detected faces give on their ARKit weights.

        Args:
            points_px: (N, 478, 2) landmarks, pixels, y down.
            depth_px: (N, 478) their depth, pixels; smaller is nearer.
            scores: (N, 52) blendshape scores in [0, 1], or None to use the landmarks alone.

        Returns:
            The prior with mean (N, 52), std (52,) and a scale of 1.
        """
        features = detector_features(self.reference, self.weight, points_px, depth_px)
        regressor = self.regressor(scores is not None)
        features = features if scores is None else torch.cat([features, scores], dim=1)
        return ExpressionPrior(resolve_antagonists(regressor(features)), regressor.prior_std)

    def to(self, device: torch.device) -> DetectorCalibration:
        """Return a copy on another device."""

        def move(regressor: BlendshapeRegressor) -> BlendshapeRegressor:
            return BlendshapeRegressor(*(getattr(regressor, f.name).to(device) for f in fields(BlendshapeRegressor)))

        return DetectorCalibration(
            self.reference.to(device), self.weight.to(device), move(self.with_scores), move(self.points_only)
        )


def detector_features(reference: Tensor, weight: Tensor, points_px: Tensor, depth_px: Tensor) -> Tensor:
    """Return the deviations of detected landmarks from a mean head after Procrustes alignment.

    Args:
        reference: (L, 3) landmarks of the mean head, metres.
        weight: (L,) weight of each landmark in the alignment.
        points_px: (N, L, 2) detected landmarks, pixels, y down.
        depth_px: (N, L) their depth, pixels; smaller is nearer.

    Returns:
        (N, 3 L) in units of 1 / `METRES_TO_FEATURE` metres.
    """
    detected = torch.cat([points_px * points_px.new_tensor([1.0, -1.0]), -depth_px.unsqueeze(-1)], dim=-1)
    aligned = align(detected, reference.expand_as(detected), weight).apply(detected)
    return (aligned - reference).flatten(1) * METRES_TO_FEATURE


def fit_blendshape_regressor(
    features: Tensor, weights: Tensor, ridge: float, neutral_photos: Tensor | None = None
) -> BlendshapeRegressor:
    """Fit a regressor by ridge regression and sharpen it.

    Ridge regression alone reports a weak expression where it is in doubt, and half of a strong one. So a floor is
    subtracted, the mean plus one standard deviation of what it reports on neutral faces (rows of zero weights), and
    the rest is stretched to the spread of the true weights, as far as a weight is explained at all.

    Error and explained variance are those of a regressor of the first half of the rows on the second half.

    Args:
        features: (M, D) features.
        weights: (M, E) true weights in [0, 1].
        ridge: Strength of the regularisation, in rows; above 0.
        neutral_photos: (K, D) features of photos of neutral faces, or None. Real faces are not shaped like rendered
            ones, and what most of them show is their shape, not an expression: it raises the floor.
    """
    half = len(features) // 2
    trial = _ridge(features[:half], weights[:half], ridge)
    held_out = weights[half:]
    # A weight that is 0 in all rows has no variance, of which nothing is explained.
    unexplained = (trial(features[half:]) - held_out).square().mean(0) / held_out.var(0)
    explained = torch.where(held_out.var(0) > 0, 1 - unexplained, 0.0).clamp(0, 1)
    neutral = trial.linear(features[half:][(held_out == 0).all(1)])
    floor = neutral.mean(0) + neutral.std(0)
    if neutral_photos is not None:
        floor = torch.maximum(floor, trial.linear(neutral_photos).quantile(NEUTRAL_QUANTILE, dim=0))
    # The neutral photos are not mirrored, and both sides of a face must be treated alike.
    mirror = list(ARKIT_MIRROR)
    floor, explained = torch.maximum(floor, floor[mirror]), (explained + explained[mirror]) / 2
    gain = OVERSHOOT * _gain(explained)
    trial, final = (_sharpen(each, floor, gain) for each in (trial, _ridge(features, weights, ridge)))
    error = (trial(features[half:]) - held_out).square().mean(0).sqrt()
    error = (error + error[mirror]) / 2
    return replace(final, std=error, explained=explained)


def _gain(explained: Tensor) -> Tensor:
    """Return the factors (E,) that give regressed weights about the spread of the true ones."""
    gain = torch.where(explained > MIN_EXPLAINED_VARIANCE, explained.clamp_min(0.05) ** -0.5, 1.0).clamp_max(MAX_GAIN)
    # No landmark lies on the tongue; what follows it in the renderings is only the open mouth that it needs.
    gain[ARKIT_NAMES.index("tongueOut")] = 0.0
    return gain


def _sharpen(regressor: BlendshapeRegressor, floor: Tensor, gain: Tensor) -> BlendshapeRegressor:
    return replace(regressor, matrix=regressor.matrix * gain, offset=(regressor.offset - floor) * gain)


def _ridge(features: Tensor, weights: Tensor, ridge: float) -> BlendshapeRegressor:
    """Solve the normal equations in double precision on standardised features, which the penalty treats alike."""
    x, y = features.double(), weights.double()
    mean, scale = x.mean(0), x.std(0) + 1e-3
    x = (x - mean) / scale
    gram = x.T @ x + ridge * torch.eye(x.shape[1], dtype=x.dtype)
    matrix = torch.linalg.solve(gram, x.T @ (y - y.mean(0))) / scale[:, None]
    return BlendshapeRegressor(mean.float(), matrix.float(), y.mean(0).float(), *torch.zeros(2, y.shape[1]))


def save_calibration(calibration: DetectorCalibration, path: Path, meta: dict[str, str]) -> None:
    """Write a calibration in float16.

    Args:
        calibration: What is written.
        path: The file, .safetensors.
        meta: Description for the header of the file.
    """
    tensors = {"reference": calibration.reference, "weight": calibration.weight}
    for name in ("with_scores", "points_only"):
        regressor = getattr(calibration, name)
        tensors |= {f"{name}/{f.name}": getattr(regressor, f.name).half() for f in fields(BlendshapeRegressor)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        plain = {name: tensor.contiguous() for name, tensor in tensors.items()}
        temporary.write_bytes(save(plain, metadata={"about": json.dumps(meta)}))


def load_calibration(path: Path | None = None) -> DetectorCalibration:
    """Read a calibration.

    Args:
        path: The file; None for the one that comes with the package.

    Raises:
        Smirk3dError: The file is missing or damaged.
    """
    path = find("expression_prior") if path is None else path
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118
        regressors = [
            BlendshapeRegressor(**{f.name: tensors[f"{name}/{f.name}"] for f in fields(BlendshapeRegressor)})
            for name in ("with_scores", "points_only")
        ]
        return DetectorCalibration(tensors["reference"], tensors["weight"], *regressors)
    # Another kind of safetensors file lacks the keys.
    except (OSError, KeyError, SafetensorError) as error:
        raise Smirk3dError(f"{path}: cannot be read as a calibration ({error}); reinstall smirk3d") from error
