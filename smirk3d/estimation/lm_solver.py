"""Landmark fitting: pose, camera, identity and expression of many faces at once, by bounded Levenberg-Marquardt.

All faces of a batch take their steps together; faces of one person share their shape. Lengths are divided by the
distance of the outer eye corners in the image, which makes residuals of faces of all sizes comparable.
"""

# torch's own annotations are incomplete.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from smirk3d.estimation.bounded_step import CoefficientPrior, bounded_step, damped_solve
from smirk3d.estimation.expression_prior import ExpressionPrior
from smirk3d.estimation.landmark_model import LandmarkModel
from smirk3d.estimation.lip_contact import LipContact, lip_contact
from smirk3d.estimation.projection import Pose, project
from smirk3d.geometry.align import Similarity, align
from smirk3d.head.landmark_indices import OUTER_EYE_CORNERS

MIN_VISIBILITY_WEIGHT = 0.2
"""Weight of landmarks on the far side of the head, whose places the detector extrapolates."""
MIN_DAMPING, MAX_DAMPING = 1e-4, 1e4


@dataclass(frozen=True)
class FitConfig:
    """Settings of the fit; lengths are in units of the distance between the outer eye corners.

    `noise` is small against the priors, so that the mesh follows the landmarks closely; the identity takes up what the
    prior of the expression does not explain.

    Attributes:
        noise: Standard deviation of a landmark of full weight; 0.005 to 0.02 is sensible.
        outlier: Residual at which a landmark begins to lose its influence (Geman-McClure); above 1 nothing is robust.
        shape_std: Prior standard deviation of the shape coefficients; 1 is that of the identity space.
        expression_l1: Penalty of an expression weight of 1, since most blendshapes are absent from most faces; only
            without an `ExpressionPrior`.
        expression_std: Prior standard deviation of the expression weights; only without an `ExpressionPrior`.
        pose_steps: Gauss-Newton steps for pose and camera alone.
        steps: Levenberg-Marquardt steps for everything; more than 6 change little.
        damping: Initial damping, relative to the diagonal of the normal equations.
        expression_error: Standard deviation of what an expression does to a landmark, relative to how far it moves it;
            0 takes the blendshapes as exact. Landmarks that an expression moves far then tell little of the identity.
    """

    noise: float = 0.007
    outlier: float = 0.12
    shape_std: float = 1.0
    expression_l1: float = 1.0
    expression_std: float = 0.5
    pose_steps: int = 3
    steps: int = 4
    damping: float = 0.001
    expression_error: float = 0.0


SHARED_IDENTITY = FitConfig(noise=0.03, expression_error=0.5)
"""Settings for one identity of several faces.

The noise is how far detected landmarks of rendered faces lie from the true ones.
"""


@dataclass(frozen=True)
class LandmarkTargets:
    """What B faces are fitted to.

    Attributes:
        points_px: (B, L, 2) detected landmarks, pixels, y down; all 478 of MediaPipe.
        depth_px: (B, L) the detector's depth, pixels; smaller is nearer.
        center_px: (B, 2) principal points, pixels.
        focal_px: (B,) focal lengths, pixels; infinite for a scaled orthographic camera.
        prior: Prior of the expressions, mean (B, E); None for that of `FitConfig`.
        person: (B,) int64, the same number for faces that share a shape; 0, 1, 2, ... without gaps.
    """

    points_px: Tensor
    depth_px: Tensor
    center_px: Tensor
    focal_px: Tensor
    prior: ExpressionPrior | None
    person: Tensor

    def subset(self, index: Tensor) -> LandmarkTargets:
        """Return the targets with some of the landmarks, `index` (K,) int64."""
        return replace(self, points_px=self.points_px[:, index], depth_px=self.depth_px[:, index])


@dataclass(frozen=True)
class Fit:
    """The result for B faces.

    Attributes:
        coefficients: (B, K) shape, then expression.
        pose: B head poses with their cameras.
        residual: (B, L) distance of each projected point from its landmark, in units of the distance between the
            outer eye corners in the image.
    """

    coefficients: Tensor
    pose: Pose
    residual: Tensor


@dataclass(frozen=True)
class _Linearization:
    """The fit linearised at one iterate; image lengths in units of the outer eye corners' distance.

    Attributes:
        pose: B poses.
        coefficients: (B, K).
        pose_jacobian: (B, L, 2, 6) derivatives of the projected points by a pose step.
        point_jacobian: (B, L, 2, 3) derivatives of the projected points by the points in the head frame.
        residual: (B, L, 2) detected minus projected points.
    """

    pose: Pose
    coefficients: Tensor
    pose_jacobian: Tensor
    point_jacobian: Tensor
    residual: Tensor


def fit_landmarks(model: LandmarkModel, targets: LandmarkTargets, config: FitConfig | None = None) -> Fit:
    """Fit pose, camera, shape and expression to landmarks by Levenberg-Marquardt, all faces side by side.

    Args:
        model: The linear landmark model of the head.
        targets: B faces.
        config: Settings.

    Raises:
        ValueError: There are no faces.
    """
    config = FitConfig() if config is None else config
    if not len(targets.points_px):
        raise ValueError("there are no faces to fit")
    fit = _fit_landmarks(model, targets, config)
    # Tensors of the inference mode cannot take part in training; their copies can.
    pose = Pose(*(getattr(fit.pose, f.name).clone() for f in fields(Pose)))
    return Fit(fit.coefficients.clone(), pose, fit.residual.clone())


@torch.inference_mode()  # which costs less per operation than `no_grad`: the operations are many and small
def _fit_landmarks(model: LandmarkModel, targets: LandmarkTargets, config: FitConfig) -> Fit:
    unit_px = _eye_distance_px(targets.points_px)
    # The unit needs all landmarks; the fit itself only those of the model.
    targets = targets.subset(model.index)
    prior, person = _coefficient_prior(model, targets, config), targets.person
    if targets.prior is not None and targets.prior.is_fixed:
        model = _with_fixed_expression(model, targets.prior.mean)
    contact = lip_contact(model, targets.points_px, unit_px)
    state = _initial_state(model, targets, unit_px, prior, config)
    # Every face has its own damping: a hard face must not slow down the others of its batch.
    damping = torch.full_like(unit_px, config.damping)
    for _ in range(config.steps):
        precision = _precision(model, state, config)
        hessian, gradient = _normal_equations(model, state, precision * _robust_weights(state, config), contact)
        pose_step, coefficients = bounded_step(hessian, gradient, state.coefficients, model, prior, damping, person)
        trial = _linearize(model, targets, unit_px, state.pose.moved(pose_step), coefficients)
        # Both energies with the precision of the current state, or turning points away would count as progress.
        better = _energy(model, trial, precision, contact, prior, config, person) < _energy(
            model, state, precision, contact, prior, config, person
        )
        state = _accept_where(better, trial, state)
        # Down slowly, up fast: a rejected step is a wasted one (Marquardt 1963).
        damping = torch.where(better, damping * 0.3, damping * 8.0).clamp(MIN_DAMPING, MAX_DAMPING)
    return Fit(state.coefficients, state.pose, state.residual.norm(dim=-1))


def procrustes_pose(model: LandmarkModel, targets: LandmarkTargets) -> Pose:
    """Return the poses of B faces by Procrustes alignment of the mean head; landmarks as in `model.index`."""
    similarity = align_mean_head(model, targets.points_px - targets.center_px[:, None], targets.depth_px)
    return Pose.from_similarity(similarity, targets.center_px, targets.focal_px)


def align_mean_head(model: LandmarkModel, points_px: Tensor, depth_px: Tensor) -> Similarity:
    """Align the mean head with landmarks of B faces; the detector's depth is taken as exact.

    Args:
        model: The linear landmark model of the head.
        points_px: (B, L, 2) landmarks, pixels, y down.
        depth_px: (B, L) their depth, pixels; smaller is nearer.

    Returns:
        B maps from metres of the head frame to pixels, y up.
    """
    # Pixels count downwards and depth away from the viewer, the head frame upwards and towards the viewer.
    up = points_px * points_px.new_tensor([1.0, -1.0])
    observed = torch.cat([up, -depth_px.unsqueeze(-1)], dim=-1)
    return align(model.mean.expand_as(observed), observed, model.weight)


def _initial_state(
    model: LandmarkModel, targets: LandmarkTargets, unit_px: Tensor, prior: CoefficientPrior, config: FitConfig
) -> _Linearization:
    """Return the prior mean with the pose that fits it best: without it the first step would bend the shape instead."""
    coefficients = prior.mean.clamp(model.low, model.high)
    state = _linearize(model, targets, unit_px, procrustes_pose(model, targets), coefficients)
    for _ in range(config.pose_steps):
        step = _pose_step(state, _precision(model, state, config) * _robust_weights(state, config))
        state = _linearize(model, targets, unit_px, state.pose.moved(step), state.coefficients)
    return state


def _linearize(
    model: LandmarkModel, targets: LandmarkTargets, unit_px: Tensor, pose: Pose, coefficients: Tensor
) -> _Linearization:
    image, pose_jacobian, point_jacobian = project(model.points(coefficients), pose)
    unit = unit_px[:, None, None]
    return _Linearization(
        pose,
        coefficients,
        pose_jacobian / unit[..., None],
        point_jacobian / unit[..., None],
        (targets.points_px - image) / unit,
    )


def _accept_where(better: Tensor, trial: _Linearization, current: _Linearization) -> _Linearization:
    """Return the trial state for the faces where it is better (B,) bool, else the current one."""
    if bool(better.all()):
        return trial

    def select(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(better.view(-1, *[1] * (a.dim() - 1)), a, b)

    pose = Pose(*(select(getattr(trial.pose, f.name), getattr(current.pose, f.name)) for f in fields(Pose)))
    rest = (select(getattr(trial, f.name), getattr(current, f.name)) for f in fields(_Linearization)[1:])
    return _Linearization(pose, *rest)


def _energy(
    model: LandmarkModel,
    state: _Linearization,
    precision: Tensor,
    contact: LipContact,
    prior: CoefficientPrior,
    config: FitConfig,
    person: Tensor,
) -> Tensor:
    """Return (B,) what is minimised, summed over the faces of a person, who move together or not at all."""
    square = state.residual.square().sum(-1)
    # Geman-McClure: rho(r) = r^2 / (1 + r^2 / c^2), which saturates at c^2.
    data = (precision * square / (1 + square / config.outlier**2)).sum(1)
    own = data + contact.energy(state.residual) + prior.energy(state.coefficients, model.n_shape, person)
    return torch.zeros_like(data).index_add(0, person, own)[person]


def _robust_weights(state: _Linearization, config: FitConfig) -> Tensor:
    """Return weights (B, L) in [0, 1]: iteratively reweighted least squares for the Geman-McClure loss."""
    return 1 / (1 + state.residual.square().sum(-1) / config.outlier**2) ** 2


def _precision(model: LandmarkModel, state: _Linearization, config: FitConfig) -> Tensor:
    """Return the weights (B, L) of the landmarks over the variances of their errors."""
    variance = config.noise**2
    if config.expression_error > 0:
        # How far the expression moves each landmark in the image, (B, L).
        directions = model.directions[..., model.n_shape :]
        moved = (state.coefficients[:, model.n_shape :] @ directions.flatten(0, 1).T).unflatten(
            -1, directions.shape[:2]
        )
        moved = (state.point_jacobian @ moved.unsqueeze(-1)).squeeze(-1)
        variance = variance + config.expression_error**2 * moved.square().sum(-1)
    return model.weight * _visibility(model, state.pose) / variance


def _visibility(model: LandmarkModel, pose: Pose) -> Tensor:
    """Return (B, L) in [MIN_VISIBILITY_WEIGHT, 1], small for points whose surface faces away from the viewer."""
    # The third row of R is the viewing axis in the head frame, so this is the cosine of normal and axis.
    facing = (pose.rotmat[:, None, 2] @ model.normals.T).squeeze(1)
    # A ramp about the silhouette instead of a step there keeps the energy continuous while the head turns.
    return ((facing + 0.15) / 0.45).clamp(MIN_VISIBILITY_WEIGHT, 1.0)


def _coefficient_prior(model: LandmarkModel, targets: LandmarkTargets, config: FitConfig) -> CoefficientPrior:
    k, n = model.directions.shape[-1], model.n_shape
    mean = model.mean.new_zeros(len(targets.points_px), k)
    precision = model.mean.new_full((k,), config.expression_std**-2)
    precision[:n] = config.shape_std**-2
    l1 = model.mean.new_full((k,), config.expression_l1)
    l1[:n] = 0.0  # shape coefficients have both signs, expressions are mostly absent
    if targets.prior is not None:
        mean[:, n:] = targets.prior.mean
        precision[n:] = targets.prior.precision
        l1[n:] = 0.0  # a predicted mean already knows which actions are absent
    return CoefficientPrior(mean, precision, l1)


def _with_fixed_expression(model: LandmarkModel, weights: Tensor) -> LandmarkModel:
    """Return the model of B faces whose bounds leave only these expression weights (B, E)."""
    low, high = (bound.expand(len(weights), -1).clone() for bound in (model.low, model.high))
    low[:, model.n_shape :] = high[:, model.n_shape :] = weights
    return replace(model, low=low, high=high)


def _eye_distance_px(points_px: Tensor) -> Tensor:
    """Return the distance (B,) of the outer eye corners.

    It shrinks as a head turns away, so it is at least what it would be for the height of the face.
    """
    corner = points_px[:, list(OUTER_EYE_CORNERS)]
    height = points_px[..., 1].amax(1) - points_px[..., 1].amin(1)
    return torch.maximum((corner[:, 0] - corner[:, 1]).norm(dim=-1), 0.35 * height).clamp_min(1e-3)


def _pose_step(state: _Linearization, weight: Tensor) -> Tensor:
    """Return the Gauss-Newton step (B, 6) of the pose alone."""
    # Rows scaled by the root of their weights turn weighted into ordinary least squares.
    root = weight.sqrt()[..., None, None]
    rows = (state.pose_jacobian * root).flatten(1, 2)
    return damped_solve(rows.mT @ rows, rows.mT @ (state.residual.unsqueeze(-1) * root).flatten(1, 2)).squeeze(-1)


def _normal_equations(
    model: LandmarkModel, state: _Linearization, weight: Tensor, contact: LipContact
) -> tuple[Tensor, Tensor]:
    """Return J^T W J (B, 6 + K, 6 + K) and J^T W r (B, 6 + K)."""
    root = weight.sqrt()[..., None, None]
    by_coefficient = model.jacobian(state.coefficients, state.point_jacobian * root)
    rows = torch.cat([state.pose_jacobian * root, by_coefficient], dim=-1).flatten(1, 2)
    weighted_residual = (state.residual.unsqueeze(-1) * root).flatten(1, 2)
    if contact.is_active:
        pair_rows, pair_residual = contact.rows(
            model, state.coefficients, state.pose_jacobian, state.point_jacobian, state.residual
        )
        rows = torch.cat([rows, pair_rows], dim=1)
        weighted_residual = torch.cat([weighted_residual, pair_residual], dim=1)
    return rows.mT @ rows, (rows.mT @ weighted_residual).squeeze(-1)
