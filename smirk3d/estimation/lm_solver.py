"""Landmark fitting: pose, camera, identity and expression of many faces at once, by a bounded second-order solver.

All faces of a batch take the same steps together; faces of one person share their shape. Lengths are divided
so that the outer eye corners of the mean head are one unit apart in the image, which makes residuals comparable.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from smirk3d.estimation.landmark_model import LandmarkModel
from smirk3d.estimation.projection import Pose, project
from smirk3d.geometry.align import Similarity, align
from smirk3d.head.landmark_indices import OUTER_EYE_CORNERS

MIN_VISIBILITY_WEIGHT = 0.2
"""Say of points on the far side of the head, which the detector places by guess."""
ACTIVE_SET_ITERATIONS = 2
"""Solves a step: the second takes account of the weights that the first drove into their bounds."""


@dataclass(frozen=True)
class FitConfig:
    """Weights of the fit. Noise is in units of the distance between the outer eye corners.

    The priors decide what the points leave open. `noise` is small, so that the mesh follows the points closely;
    the identity takes up what the guess of the expression does not explain.
    """

    noise: float = 0.007
    """Standard deviation of a fully trusted point."""
    outlier: float = 0.12
    """Residual at which a point begins to lose its say (Geman-McClure)."""
    shape_std: float = 1.0
    """Prior standard deviation of shape coefficients."""
    expression_l1: float = 1.0
    """Price of a weight at 1: most actions are absent from most faces."""
    expression_std: float = 0.5
    """Prior standard deviation of weights where there is no guess."""
    guess_std: float = 0.4
    """How loosely weights follow their guess: multiple of the guess's own standard deviation; 0 holds them at it."""
    pose_steps: int = 3
    """Steps for pose and camera alone."""
    steps: int = 4
    """Steps for everything."""
    damping: float = 0.001
    """First damping, relative to the diagonal."""


@dataclass(frozen=True)
class LandmarkTargets:
    """What is known of B faces.

    Attributes:
        points_px: (B, 478, 2) detected landmarks, pixels. depth_px: (B, 478) the detector's depth, smaller is nearer.
        center_px: (B, 2) principal points. focal_px: (B,) focal lengths; infinite for scaled orthographic.
        guess: (B, E) expected expression, or None. guess_std: (E,) standard deviation of its errors, or None.
        person: (B,) int64, the same number for faces that share a shape; 0, 1, 2, ... without gaps.
    """

    points_px: Tensor
    depth_px: Tensor
    center_px: Tensor
    focal_px: Tensor
    guess: Tensor | None
    guess_std: Tensor | None
    person: Tensor


@dataclass(frozen=True)
class Fit:
    """The result for B faces.

    Attributes:
        coefficients: (B, K) shape, then expression. pose: rotation, translation and scale.
        residual: (B, L) distance of each point from its landmark, in outer eye corners' distances of the image.
    """

    coefficients: Tensor
    pose: Pose
    residual: Tensor


@dataclass(frozen=True)
class _Linearization:
    """One guess at B faces and how it stands up.

    by_pose: (B, L, 2, 6) and by_point: (B, L, 2, 3) derivatives of the image; residual: (B, L, 2); all in eye
    distances.
    """

    pose: Pose
    coefficients: Tensor
    by_pose: Tensor
    by_point: Tensor
    residual: Tensor


def fit_landmarks(model: LandmarkModel, seen: LandmarkTargets, config: FitConfig | None = None) -> Fit:
    """Fit pose, camera, shape and expression to landmarks (Levenberg-Marquardt, all faces side by side).

    Raises:
        ValueError: there are no faces.
    """
    config = FitConfig() if config is None else config
    if not len(seen.points_px):
        raise ValueError("there are no faces to fit")
    unit_px = _eye_distance(seen.points_px)
    seen = replace(seen, points_px=seen.points_px[:, model.index], depth_px=seen.depth_px[:, model.index])
    prior = _prior(model, seen, config)
    if seen.guess is not None and config.guess_std == 0:
        model = _with_fixed_expression(model, seen.guess)
    start = prior.mean.clamp(model.low, model.high)
    state = _linearize(model, seen, unit_px, procrustes_pose(model, seen), start)
    for _ in range(config.pose_steps):
        weight = _weights(model, state, config)
        state = _linearize(model, seen, unit_px, state.pose.moved(_pose_step(state, weight)), state.coefficients)
    damping = torch.full_like(unit_px, config.damping)
    for _ in range(config.steps):
        weight = _weights(model, state, config)
        hessian, gradient = _normal_equations(model, state, weight)
        pose_step, coefficients = _bounded_step(
            hessian, gradient, state.coefficients, model, prior, damping, seen.person
        )
        tried = _linearize(model, seen, unit_px, state.pose.moved(pose_step), coefficients)
        better = _energy(model, tried, state, prior, config, seen.person) < _energy(
            model, state, state, prior, config, seen.person
        )
        state = _accept_where(better, tried, state)
        damping = torch.where(better, damping * 0.3, damping * 8.0).clamp(1e-4, 1e4)
    return Fit(state.coefficients, state.pose, state.residual.norm(dim=-1))


def _linearize(
    model: LandmarkModel, seen: LandmarkTargets, unit_px: Tensor, pose: Pose, coefficients: Tensor
) -> _Linearization:
    image, by_pose, by_point = project(model.points(coefficients), pose)
    unit = unit_px[:, None, None]
    return _Linearization(
        pose,
        coefficients,
        by_pose / unit[..., None],
        by_point / unit[..., None],
        (seen.points_px - image) / unit,
    )


def _accept_where(better: Tensor, tried: _Linearization, old: _Linearization) -> _Linearization:
    """Return the tried state where it is better (B,), else the old one."""

    def pick(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(better.view(-1, *[1] * (a.dim() - 1)), a, b)

    pose = Pose(*(pick(getattr(tried.pose, f.name), getattr(old.pose, f.name)) for f in fields(Pose)))
    rest = (pick(getattr(tried, f.name), getattr(old, f.name)) for f in fields(_Linearization)[1:])
    return _Linearization(pose, *rest)


def _energy(
    model: LandmarkModel,
    state: _Linearization,
    seen_from: _Linearization,
    prior: _Prior,
    config: FitConfig,
    person: Tensor,
) -> Tensor:
    """Return (B,) what is minimised, summed over the faces of a person; visibility as seen from another state."""
    square = state.residual.square().sum(-1)
    trust = model.weight * _visible(model, seen_from.pose) / config.noise**2
    data = (trust * square / (1 + square / config.outlier**2)).sum(1)
    away = state.coefficients - prior.mean
    share = _divide_shared_prior(
        prior.precision * away.square() + 2 * prior.price * state.coefficients, model.n_shape, person
    )
    total = torch.zeros_like(data).index_add(0, person, data + share.sum(1))
    return total[person]


def _divide_shared_prior(values: Tensor, n_shape: int, person: Tensor) -> Tensor:
    """Return (B, K) values with the shape's divided by the number of faces that share it: it counts once a person."""
    count = torch.bincount(person).to(values.dtype)[person, None]
    return torch.cat([values[:, :n_shape] / count, values[:, n_shape:]], dim=1)


def procrustes_pose(model: LandmarkModel, seen: LandmarkTargets) -> Pose:
    """Return the pose that best lays the mean head on the landmarks."""
    similarity = align_mean_head(model, seen.points_px - seen.center_px[:, None], seen.depth_px)
    return Pose.from_similarity(similarity, seen.center_px, seen.focal_px)


def align_mean_head(model: LandmarkModel, points_px: Tensor, depth_px: Tensor) -> Similarity:
    """Return the maps from metres to pixels (y up) that lay the mean head on B faces.

    The detector's depth (B, L) is taken at its word; `points_px` are (B, L, 2), y down.
    """
    up = points_px * points_px.new_tensor([1.0, -1.0])
    observed = torch.cat([up, -depth_px.unsqueeze(-1)], dim=-1)
    return align(model.mean.expand_as(observed), observed, model.weight)


@dataclass(frozen=True)
class _Prior:
    """Gaussian prior on the coefficients plus a price per unit: (B, K) or (K,) each."""

    mean: Tensor
    precision: Tensor
    price: Tensor


def _prior(model: LandmarkModel, seen: LandmarkTargets, config: FitConfig) -> _Prior:
    k, n = model.directions.shape[-1], model.n_shape
    mean = model.mean.new_zeros(len(seen.points_px), k)
    precision = model.mean.new_full((k,), config.expression_std**-2)
    precision[:n] = config.shape_std**-2
    price = model.mean.new_full((k,), config.expression_l1)
    price[:n] = 0.0
    if seen.guess is not None and seen.guess_std is not None:
        mean[:, n:] = seen.guess
        precision[n:] = (config.guess_std * seen.guess_std).clamp_min(1e-2) ** -2
        price[n:] = 0.0
    return _Prior(mean, precision, price)


def _with_fixed_expression(model: LandmarkModel, weights: Tensor) -> LandmarkModel:
    """Return the model of B faces whose expression can be nothing but these weights (B, E)."""
    low, high = (bound.expand(len(weights), -1).clone() for bound in (model.low, model.high))
    low[:, model.n_shape :] = high[:, model.n_shape :] = weights
    return replace(model, low=low, high=high)


def _eye_distance(points_px: Tensor) -> Tensor:
    """Return the distance (B,) of the outer eye corners, for turned heads at least a share of the face's height."""
    corner = points_px[:, list(OUTER_EYE_CORNERS)]
    height = points_px[..., 1].amax(1) - points_px[..., 1].amin(1)
    return torch.maximum((corner[:, 0] - corner[:, 1]).norm(dim=-1), 0.35 * height).clamp_min(1e-3)


def _visible(model: LandmarkModel, pose: Pose) -> Tensor:
    """Return (B, L) in [LEAST_VISIBLE, 1], small for points whose surface faces away from the viewer."""
    facing = (pose.rotmat[:, None, 2] @ model.normals.T).squeeze(1)
    return ((facing + 0.15) / 0.45).clamp(MIN_VISIBILITY_WEIGHT, 1.0)


def _weights(model: LandmarkModel, state: _Linearization, config: FitConfig) -> Tensor:
    """Return (B, L) weights: trust, less for points turned away from the viewer, less for wrong ones."""
    robust = 1 / (1 + state.residual.square().sum(-1) / config.outlier**2) ** 2
    return model.weight * _visible(model, state.pose) * robust / config.noise**2


def _pose_step(state: _Linearization, weight: Tensor) -> Tensor:
    """Return the Gauss-Newton step (B, 6) of the pose alone."""
    root = weight.sqrt()[..., None, None]
    rows = (state.by_pose * root).flatten(1, 2)
    return _damped_solve(rows.mT @ rows, rows.mT @ (state.residual.unsqueeze(-1) * root).flatten(1, 2)).squeeze(-1)


def _normal_equations(model: LandmarkModel, state: _Linearization, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return the normal matrix (B, 6 + K, 6 + K) and right-hand side (B, 6 + K)."""
    root = weight.sqrt()[..., None, None]
    by_coefficient = torch.einsum("blij,ljk->blik", state.by_point * root, model.directions)
    rows = torch.cat([state.by_pose * root, by_coefficient], dim=-1).flatten(1, 2)
    pull = (state.residual.unsqueeze(-1) * root).flatten(1, 2)
    return rows.mT @ rows, (rows.mT @ pull).squeeze(-1)


def _damped_solve(matrix: Tensor, right: Tensor) -> Tensor:
    """Return matrix^-1 right (B, P, R) of positive definite matrices, a touch of damping on the diagonal."""
    damped = matrix.clone()
    damped.diagonal(dim1=-2, dim2=-1).mul_(1 + 1e-4).add_(1e-8)
    factor, _ = torch.linalg.cholesky_ex(damped)
    return torch.cholesky_solve(right, factor)


def _bounded_step(
    hessian: Tensor,
    gradient: Tensor,
    coefficients: Tensor,
    model: LandmarkModel,
    prior: _Prior,
    damping: Tensor,
    person: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return the pose step (B, 6) and new coefficients (B, K) within their bounds.

    A weight that sits on a bound and is pushed outwards is held there (projected Newton: Bertsekas 1982).
    The shared shape of a person's faces is found by eliminating all that is a face's own (Schur complement).
    """
    p, n = gradient.shape[1] - coefficients.shape[1], model.n_shape
    slope = _divide_shared_prior(prior.precision * (prior.mean - coefficients) - prior.price, n, person)
    stiffness = _divide_shared_prior(prior.precision.expand_as(slope), n, person)
    gradient = gradient + torch.nn.functional.pad(slope, (p, 0))
    hessian = hessian.clone()
    hessian.diagonal(dim1=-2, dim2=-1).add_(torch.nn.functional.pad(stiffness, (p, 0))).mul_(1 + damping[:, None])
    outward = gradient[:, p:]
    held = ((coefficients <= model.low) & (outward < 0)) | ((coefficients >= model.high) & (outward > 0))
    known = torch.zeros_like(coefficients)
    for _ in range(ACTIVE_SET_ITERATIONS):
        free = (~torch.nn.functional.pad(held, (p, 0))).to(gradient.dtype)
        moved = torch.nn.functional.pad(known, (p, 0))
        # What is held moves by `known`; the rest answers to that.
        right = (gradient - (hessian @ moved.unsqueeze(-1)).squeeze(-1)) * free + moved * (1 - free)
        bounded = hessian * (free[:, :, None] * free[:, None, :])
        bounded.diagonal(dim1=-2, dim2=-1).add_(1 - free)
        step = _shared_solve(bounded, right, slice(p, p + n), person)
        wanted = coefficients + step[:, p:]
        limited = wanted.clamp(model.low, model.high)
        known = torch.where(held, known, torch.where(limited == wanted, 0.0, limited - coefficients))
        held = held | (limited != wanted)
    return step[:, :p], limited


def _shared_solve(hessian: Tensor, gradient: Tensor, shared: slice, person: Tensor) -> Tensor:
    """Solve for steps (B, P) whose `shared` entries are equal for all faces of a person."""
    if int(person.max()) + 1 == len(person):
        return _damped_solve(hessian, gradient.unsqueeze(-1)).squeeze(-1)
    order = torch.arange(gradient.shape[1], device=gradient.device)
    order = torch.cat([order[: shared.start], order[shared.stop :], order[shared]])
    own = len(order) - (shared.stop - shared.start)
    hessian, gradient = hessian[:, order[:, None], order], gradient[:, order]
    h_oc, h_cc = hessian[:, :own, own:], hessian[:, own:, own:]
    solved = _damped_solve(hessian[:, :own, :own], torch.cat([h_oc, gradient[:, :own, None]], dim=-1))
    reduced = h_cc - h_oc.mT @ solved[..., :-1]
    reduced_gradient = gradient[:, own:] - (h_oc.mT @ solved[..., -1:]).squeeze(-1)
    count = int(person.max()) + 1
    total = reduced.new_zeros(count, *reduced.shape[1:]).index_add(0, person, reduced)
    total_gradient = reduced.new_zeros(count, reduced.shape[1]).index_add(0, person, reduced_gradient)
    common_step = _damped_solve(total, total_gradient.unsqueeze(-1))[person]
    own_step = solved[..., -1:] - solved[..., :-1] @ common_step
    step = torch.empty_like(gradient)
    step[:, order] = torch.cat([own_step, common_step], dim=1).squeeze(-1)
    return step
