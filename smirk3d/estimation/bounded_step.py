"""One step of the landmark fit: bounded normal equations in which the faces of a person share their shape.

Notation: B faces, each with P = 6 pose and K coefficient unknowns; the first of the K are shape. A Hessian is the
Gauss-Newton approximation J^T W J of the data term, a gradient is J^T W r: the descent direction, since r = observed -
projected.
"""

# torch's own annotations are incomplete.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from smirk3d.estimation.landmark_model import LandmarkModel

ACTIVE_SET_ITERATIONS = 3
"""Largest number of solves per step: each takes account of the coefficients that the last one drove to their bounds.

With two, a coefficient whose gradient is nearly zero decides by its rounding whether lips keep their contact.
"""
MAX_INDEPENDENT_FACES = 3
"""Faces of one person count as at most so many independent measurements of the shape, since the detector errs alike in
all of them."""


@dataclass(frozen=True)
class CoefficientPrior:
    """A Gaussian prior on the coefficients of B faces and an L1 penalty; energies are those of `energy`.

    Attributes:
        mean: (B, K) expected coefficients.
        precision: (K,) inverse variances.
        l1: (K,) penalty per unit; acts on coefficients that are bounded below by 0.
    """

    mean: Tensor
    precision: Tensor
    l1: Tensor

    def energy(self, coefficients: Tensor, n_shape: int, person: Tensor) -> Tensor:
        """Return (B,) twice the negative logarithm of the prior, up to a constant.

        Args:
            coefficients: (B, K).
            n_shape: How many of the coefficients are shape.
            person: (B,) int64, see `divide_shared_prior`.
        """
        squares = self.precision * (coefficients - self.mean).square()
        return divide_shared_prior(squares + 2 * self.l1 * coefficients, n_shape, person).sum(1)


def divide_shared_prior(values: Tensor, n_shape: int, person: Tensor) -> Tensor:
    """Divide the shape's part of a prior among the faces that share it.

    Of up to `MAX_INDEPENDENT_FACES` faces each bears its part, and the prior counts once per person. Beyond that it
    counts in proportion to the faces: their errors are common, and the shape gets no more certain.

    Args:
        values: (B, K) a term of the prior for each coefficient of each face.
        n_shape: How many of the coefficients are shape.
        person: (B,) int64 person of each face, 0, 1, 2, ... without gaps.
    """
    count = torch.bincount(person).clamp_max(MAX_INDEPENDENT_FACES).to(values.dtype)[person, None]
    return torch.cat([values[:, :n_shape] / count, values[:, n_shape:]], dim=1)


def bounded_step(
    hessian: Tensor,
    gradient: Tensor,
    coefficients: Tensor,
    model: LandmarkModel,
    prior: CoefficientPrior,
    damping: Tensor,
    person: Tensor,
) -> tuple[Tensor, Tensor]:
    """Solve the damped normal equations within the bounds of the coefficients.

    A coefficient that lies on a bound and is pushed outwards is fixed there (projected Newton: Bertsekas,
    "Projected Newton methods for optimization problems with simple constraints", 1982).

    Args:
        hessian: (B, P + K, P + K) of the data term.
        gradient: (B, P + K) J^T W r of the data term: its descent direction.
        coefficients: (B, K) where the problem was linearised.
        model: Its bounds `low` and `high`.
        prior: Prior of the coefficients.
        damping: (B,) relative to the diagonal (Marquardt).
        person: (B,) int64 person of each face; faces of one person get one step of the shape.

    Returns:
        Pose steps (B, P) and new coefficients (B, K).
    """
    p, n = gradient.shape[1] - coefficients.shape[1], model.n_shape
    # Gradient and curvature of the prior; they join those of the data before the bounds apply.
    prior_gradient = divide_shared_prior(prior.precision * (prior.mean - coefficients) - prior.l1, n, person)
    prior_curvature = divide_shared_prior(prior.precision.expand_as(prior_gradient), n, person)
    gradient = gradient + torch.nn.functional.pad(prior_gradient, (p, 0))
    # Damping relative to the diagonal makes the step independent of the units of pose and coefficients.
    hessian = hessian.clone()
    hessian.diagonal(dim1=-2, dim2=-1).add_(torch.nn.functional.pad(prior_curvature, (p, 0))).mul_(1 + damping[:, None])
    outward = gradient[:, p:].clone()
    outward[:, :n] = _sum_of_person(outward[:, :n], person)  # all faces of a person must fix the same coefficients
    fixed = ((coefficients <= model.low) & (outward < 0)) | ((coefficients >= model.high) & (outward > 0))
    fixed_step = torch.zeros_like(coefficients)  # the steps of the fixed coefficients
    step, limited = torch.zeros_like(gradient), coefficients
    for _ in range(ACTIVE_SET_ITERATIONS):
        free = (~torch.nn.functional.pad(fixed, (p, 0))).to(gradient.dtype)
        padded = torch.nn.functional.pad(fixed_step, (p, 0))
        # Rows of fixed unknowns become step = fixed step, which moves to the right-hand side of the free rows.
        rhs = (gradient - (hessian @ padded.unsqueeze(-1)).squeeze(-1)) * free + padded * (1 - free)
        bounded = hessian * (free[:, :, None] * free[:, None, :])
        bounded.diagonal(dim1=-2, dim2=-1).add_(1 - free)
        step = _shared_solve(bounded, rhs, slice(p, p + n), person)
        unbounded = coefficients + step[:, p:]
        limited = unbounded.clamp(model.low, model.high)
        hit = limited != unbounded
        if not bool((hit & ~fixed).any()):
            break
        fixed_step = torch.where(fixed, fixed_step, torch.where(hit, limited - coefficients, 0.0))
        fixed = fixed | hit
    return step[:, :p], limited


def _sum_of_person(values: Tensor, person: Tensor) -> Tensor:
    """Return for each of B faces the sum of values (B, N) over the faces of its person."""
    total = values.new_zeros(int(person.max()) + 1, values.shape[1])
    return total.index_add(0, person, values)[person]


def damped_solve(matrix: Tensor, rhs: Tensor) -> Tensor:
    """Solve for positive definite matrices by Cholesky factorisation, with a trace of damping on the diagonal.

    Args:
        matrix: (B, P, P).
        rhs: (B, P, R).

    Returns:
        (B, P, R).
    """
    # Landmarks may leave directions undetermined; the trace of damping keeps the factorisation finite there.
    damped = matrix.clone()
    damped.diagonal(dim1=-2, dim2=-1).mul_(1 + 1e-4).add_(1e-8)
    factor, _ = torch.linalg.cholesky_ex(damped)
    return torch.cholesky_solve(rhs, factor)


def _shared_solve(hessian: Tensor, gradient: Tensor, shared: slice, person: Tensor) -> Tensor:
    """Solve for steps (B, P + K) whose `shared` entries are equal for all faces of a person.

    The unknowns of a single face (o, own) are eliminated by the Schur complement H_cc - H_co H_oo^-1 H_oc; the
    complements of a person's faces add up to one small system for the common unknowns (c).
    """
    n_people = int(person.max()) + 1
    if n_people == len(person):
        return damped_solve(hessian, gradient.unsqueeze(-1)).squeeze(-1)
    # The common unknowns go last, so that both parts are plain blocks of the matrix.
    order = torch.arange(gradient.shape[1], device=gradient.device)
    order = torch.cat([order[: shared.start], order[shared.stop :], order[shared]])
    n_own = len(order) - (shared.stop - shared.start)
    hessian, gradient = hessian[:, order[:, None], order], gradient[:, order]
    h_oc, h_cc = hessian[:, :n_own, n_own:], hessian[:, n_own:, n_own:]
    # One factorisation solves for H_oo^-1 H_oc and H_oo^-1 g_o.
    solved = damped_solve(hessian[:, :n_own, :n_own], torch.cat([h_oc, gradient[:, :n_own, None]], dim=-1))
    reduced = h_cc - h_oc.mT @ solved[..., :-1]
    reduced_gradient = gradient[:, n_own:] - (h_oc.mT @ solved[..., -1:]).squeeze(-1)
    total = reduced.new_zeros(n_people, *reduced.shape[1:]).index_add(0, person, reduced)
    total_gradient = reduced.new_zeros(n_people, reduced.shape[1]).index_add(0, person, reduced_gradient)
    common_step = damped_solve(total, total_gradient.unsqueeze(-1))[person]
    own_step = solved[..., -1:] - solved[..., :-1] @ common_step
    step = torch.empty_like(gradient)
    step[:, order] = torch.cat([own_step, common_step], dim=1).squeeze(-1)
    return step
