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

from smirk3d.estimation.bounded_step import CoefficientPrior, People, bounded_step, damped_solve
from smirk3d.estimation.expression_prior import ExpressionPrior
from smirk3d.estimation.landmark_model import LandmarkModel
from smirk3d.estimation.lip_contact import LipContact, lip_contact
from smirk3d.estimation.projection import Pose, Projection, projected
from smirk3d.estimation.shape_prior import ShapePrior
from smirk3d.geometry.align import Similarity, align
from smirk3d.geometry.gram import gram
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


CONTACT_STEPS = 16
"""Largest number of further steps with a firmer contact of the lips; those of `mouthClose` and `jawOpen`, whose effects
multiply, are short."""
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
        shape: Prior of the shapes, mean (B, n); None for that of `FitConfig`.
    """

    points_px: Tensor
    depth_px: Tensor
    center_px: Tensor
    focal_px: Tensor
    prior: ExpressionPrior | None
    person: Tensor
    shape: ShapePrior | None = None

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
class _Problem:
    """What stays the same in all steps of a fit; image lengths are in units of the outer eye corners' distance.

    Attributes:
        model: The landmark model.
        targets: B faces with principal points 0.
        prior: Prior of the coefficients.
        contact: Contact of the lips.
        people: Of the faces.
        config: Settings.
        unit_px: (B,) the unit of length, pixels.
    """

    model: LandmarkModel
    targets: LandmarkTargets
    prior: CoefficientPrior
    contact: LipContact
    people: People
    config: FitConfig
    unit_px: Tensor


@dataclass(frozen=True)
class _State:
    """One iterate.

    Attributes:
        coefficients: (B, K).
        projection: Of the landmarks.
        residual: (B, 2, L) detected minus projected points.
        square: (B, L) squared lengths of the residuals.
        robust: (B, L) 1 / (1 + r^2 / c^2), in (0, 1]: the root of the weights of iteratively reweighted least squares
            for the loss of Geman and McClure, rho(r) = r^2 / (1 + r^2 / c^2), which saturates at c^2.
    """

    coefficients: Tensor
    projection: Projection
    residual: Tensor
    square: Tensor
    robust: Tensor


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
    problem = _problem(model, targets, config)
    state = _initial_state(problem)
    # Every face has its own damping: a hard face must not slow down the others of its batch.
    damping = torch.full_like(problem.unit_px, config.damping)
    for _ in range(config.steps):
        state, damping = _step(problem, state, damping)
    if problem.contact.is_active and problem.people.are_single:
        state = _with_lips_shut(problem, state, damping)
    pose, unit_px = state.projection.pose, problem.unit_px
    pose = Pose(
        pose.rotmat, pose.scale * unit_px, pose.offset_px * unit_px[:, None], targets.center_px, targets.focal_px
    )
    return Fit(state.coefficients, pose, state.square.sqrt())


def _step(problem: _Problem, state: _State, damping: Tensor, moving: Tensor | None = None) -> tuple[_State, Tensor]:
    """Return the states and dampings after a Levenberg-Marquardt step; only the faces `moving` (B,) bool take it."""
    precision = _precision(problem, state)
    equations = _normal_equations(problem, state, precision)
    pose_step, coefficients = bounded_step(
        *equations, state.coefficients, problem.model, problem.prior, damping, problem.people
    )
    trial = _state(problem, coefficients, state.projection.pose.moved(pose_step))
    # Both energies with the precision of the current state, or turning points away would count as progress.
    better = _energy(problem, trial, precision) < _energy(problem, state, precision)
    if moving is not None:
        better &= moving
    # Down slowly, up fast: a rejected step is a wasted one (Marquardt 1963).
    damping = torch.where(better, damping * 0.3, damping * 8.0).clamp(MIN_DAMPING, MAX_DAMPING)
    return _accept_where(better, trial, state), damping


def _with_lips_shut(problem: _Problem, state: _State, damping: Tensor) -> _State:
    """Return the state after further steps of the faces whose lips touch in the photo and not on the head yet.

    In faces that share an identity they would bend it.
    """
    problem = replace(problem, contact=problem.contact.firmer())
    for _ in range(CONTACT_STEPS):
        open_lips = problem.contact.is_broken(state.residual.mT)
        if not bool(open_lips.any()):
            break
        state, damping = _step(problem, state, damping, open_lips)
    return state


def _problem(model: LandmarkModel, targets: LandmarkTargets, config: FitConfig) -> _Problem:
    unit_px = _eye_distance_px(targets.points_px)
    # The unit needs all landmarks; the fit itself only those of the model.
    targets = targets.subset(model.index)
    people = People.of(targets.person, unit_px.dtype)
    prior = _coefficient_prior(model, targets, config, people)
    if targets.prior is not None and targets.prior.is_fixed:
        model = _with_fixed_expression(model, targets.prior.mean)
    contact = lip_contact(model, targets.points_px, unit_px)
    scaled = replace(
        targets,
        points_px=(targets.points_px - targets.center_px[:, None]) / unit_px[:, None, None],
        depth_px=targets.depth_px / unit_px[:, None],
        center_px=torch.zeros_like(targets.center_px),
        focal_px=targets.focal_px / unit_px,
    )
    return _Problem(model, scaled, prior, contact, people, config, unit_px)


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


def _initial_state(problem: _Problem) -> _State:
    """Return the prior mean with the pose that fits it best: without it the first step would bend the shape instead."""
    model = problem.model
    coefficients = problem.prior.mean.clamp(model.low, model.high)
    points = model.coordinates(coefficients)
    state = _state(problem, coefficients, procrustes_pose(model, problem.targets), points)
    for _ in range(problem.config.pose_steps):
        step = _pose_step(state, _precision(problem, state))
        state = _state(problem, coefficients, state.projection.pose.moved(step), points)
    return state


def _state(problem: _Problem, coefficients: Tensor, pose: Pose, points: Tensor | None = None) -> _State:
    """Return the state of coefficients (B, K) and poses; `points` (B, 3, L) are the model's landmarks, if known."""
    projection = projected(problem.model.coordinates(coefficients) if points is None else points, pose)
    residual = problem.targets.points_px.mT - projection.image
    square = residual.square().sum(1)
    return _State(coefficients, projection, residual, square, (1 + square / problem.config.outlier**2).reciprocal())


def _accept_where(better: Tensor, trial: _State, current: _State) -> _State:
    """Return the trial state for the faces where it is better (B,) bool, else the current one."""
    if bool(better.all()):
        return trial

    def select(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(better.view(-1, *[1] * (a.dim() - 1)), a, b)

    def joined(kind: type, a: object, b: object, first: int = 0) -> list[Tensor]:
        return [select(getattr(a, f.name), getattr(b, f.name)) for f in fields(kind)[first:]]

    pose = Pose(*joined(Pose, trial.projection.pose, current.projection.pose))
    projection = Projection(pose, *joined(Projection, trial.projection, current.projection, 1))
    rest = joined(_State, trial, current, 2)
    return _State(select(trial.coefficients, current.coefficients), projection, *rest)


def _energy(problem: _Problem, state: _State, precision: Tensor) -> Tensor:
    """Return (B,) what is minimised, summed over the faces of a person, who move together or not at all."""
    data = (precision * state.square * state.robust).sum(1)
    contact = problem.contact.energy(state.residual.mT) if problem.contact.is_active else 0.0
    return problem.people.sum(data + contact + problem.prior.energy(state.coefficients))


def _precision(problem: _Problem, state: _State) -> Tensor:
    """Return the weights (B, L) of the landmarks over the variances of their errors."""
    model, config = problem.model, problem.config
    precision = model.weight * _visibility(model, state.projection.pose)
    if config.expression_error == 0:
        return precision / config.noise**2
    # How far the expression moves each landmark in the image, (B, L).
    directions = model.basis[model.n_shape :]
    moved = (state.coefficients[:, model.n_shape :] @ directions.flatten(1)).unflatten(1, directions.shape[1:])
    moved = (state.projection.by_point() * moved.unsqueeze(2)).sum(1)
    return precision / (config.noise**2 + config.expression_error**2 * moved.square().sum(1))


def _visibility(model: LandmarkModel, pose: Pose) -> Tensor:
    """Return (B, L) in [MIN_VISIBILITY_WEIGHT, 1], small for points whose surface faces away from the viewer."""
    # The third row of R is the viewing axis in the head frame, so this is the cosine of normal and axis.
    facing = pose.rotmat[:, 2] @ model.normals.T
    # A ramp about the silhouette instead of a step there keeps the energy continuous while the head turns.
    return ((facing + 0.15) / 0.45).clamp(MIN_VISIBILITY_WEIGHT, 1.0)


def _coefficient_prior(
    model: LandmarkModel, targets: LandmarkTargets, config: FitConfig, people: People
) -> CoefficientPrior:
    k, n = model.directions.shape[-1], model.n_shape
    mean = model.mean.new_zeros(len(targets.points_px), k)
    precision = model.mean.new_full((k,), config.expression_std**-2)
    precision[:n] = config.shape_std**-2
    l1: Tensor | None = None  # a predicted mean already knows which actions are absent
    if targets.prior is not None:
        mean[:, n:] = targets.prior.mean
        precision[n:] = targets.prior.precision
    else:
        l1 = model.mean.new_full((k,), config.expression_l1)
        l1[:n] = 0.0  # shape coefficients have both signs, expressions are mostly absent
    if targets.shape is None or not n:
        return CoefficientPrior(mean, people.divide(precision.expand_as(mean), n), l1)
    mean[:, :n] = targets.shape.mean
    precision[:n] = 0.0
    of_shape = people.divide(targets.shape.precision.flatten(1), n**2).unflatten(1, (n, n))
    return CoefficientPrior(mean, precision.expand_as(mean), l1, of_shape)


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


def _pose_step(state: _State, precision: Tensor) -> Tensor:
    """Return the Gauss-Newton step (B, 6) of the pose alone."""
    columns = torch.cat([state.projection.by_pose(), state.residual.unsqueeze(1)], dim=1)
    columns = (columns * _root_weights(state, precision)).flatten(2)
    products = columns @ columns.mT
    return damped_solve(products[:, :-1, :-1], products[:, :-1, -1:]).squeeze(-1)


def _normal_equations(problem: _Problem, state: _State, precision: Tensor) -> tuple[Tensor, Tensor]:
    """Return J^T W J (B, 6 + K, 6 + K) and J^T W r (B, 6 + K)."""
    projection = state.projection
    by_coefficient = problem.model.jacobian(state.coefficients, projection.by_point())
    # With the residual as a further column, one product has both.
    columns = torch.cat([projection.by_pose(), by_coefficient, state.residual.unsqueeze(1)], dim=1)
    products = gram((columns * _root_weights(state, precision)).flatten(2))
    if problem.contact.is_active:
        differences = problem.contact.differences(columns)
        products = products + differences @ differences.mT
    return products[:, :-1, :-1], products[:, :-1, -1]


def _root_weights(state: _State, precision: Tensor) -> Tensor:
    """Return the roots (B, 1, 1, L) of the landmarks' weights, which turn weighted into ordinary least squares."""
    return (precision.sqrt() * state.robust)[:, None, None]
