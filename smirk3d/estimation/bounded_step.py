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
class People:
    """Which of B faces are of one person.

    Attributes:
        person: (B,) int64 person of each face, 0, 1, 2, ... without gaps.
        count: Number of people.
        share: (B, 1) the part of a shared prior that each face bears, see `divide`.
    """

    person: Tensor
    count: int
    share: Tensor

    @staticmethod
    def of(person: Tensor, dtype: torch.dtype = torch.float32) -> People:
        """Return the people of faces, `person` (B,) int64."""
        faces = torch.bincount(person)
        return People(person, len(faces), (1 / faces.clamp_max(MAX_INDEPENDENT_FACES).to(dtype))[person, None])

    @property
    def are_single(self) -> bool:
        """Whether each face is of another person."""
        return self.count == len(self.person)

    def divide(self, values: Tensor, n_shape: int) -> Tensor:
        """Divide the shape's part of a prior among the faces that share it.

        Of up to `MAX_INDEPENDENT_FACES` faces each bears its part, and the prior counts once per person. Beyond that
        it counts in proportion to the faces: their errors are common, and the shape gets no more certain.

        Args:
            values: (B, K) a term of the prior for each coefficient of each face.
            n_shape: How many of the coefficients are shape.
        """
        if self.are_single:
            return values
        return torch.cat([values[:, :n_shape] * self.share, values[:, n_shape:]], dim=1)

    def sum(self, values: Tensor) -> Tensor:
        """Return for each of B faces the sum of values (B, ...) over the faces of its person."""
        if self.are_single:
            return values
        return self.total(values)[self.person]

    def total(self, values: Tensor) -> Tensor:
        """Return for each person the sum of values (B, ...) over the person's faces."""
        return values.new_zeros(self.count, *values.shape[1:]).index_add(0, self.person, values)


@dataclass(frozen=True)
class CoefficientPrior:
    """A Gaussian prior on the coefficients of B faces and an L1 penalty; energies are those of `energy`.

    Attributes:
        mean: (B, K) expected coefficients.
        precision: (B, K) inverse variances; those of a shape that faces share are divided among them.
        l1: (K,) penalty per unit; acts on expression coefficients that are bounded below by 0. None for no penalty.
        shape_precision: (B, n, n) inverse covariances of the first n coefficients, the shape, which add to `precision`
            and are divided likewise; None where these are independent.
    """

    mean: Tensor
    precision: Tensor
    l1: Tensor | None = None
    shape_precision: Tensor | None = None

    def energy(self, coefficients: Tensor) -> Tensor:
        """Return (B,) twice the negative logarithm of the prior, up to a constant, for coefficients (B, K)."""
        energy = (self._pull(coefficients) * (self.mean - coefficients)).sum(1)
        return energy if self.l1 is None else energy + 2 * (self.l1 * coefficients).sum(1)

    def descent(self, coefficients: Tensor) -> Tensor:
        """Return (B, K) half the negative gradient of the energy at coefficients (B, K)."""
        descent = self._pull(coefficients)
        return descent if self.l1 is None else descent - self.l1

    def _pull(self, coefficients: Tensor) -> Tensor:
        """Return the precision times how far coefficients (B, K) are from the mean, (B, K)."""
        distance = self.mean - coefficients
        pull = self.precision * distance
        if self.shape_precision is None:
            return pull
        n = self.shape_precision.shape[1]
        of_shape = (self.shape_precision @ distance[:, :n, None]).squeeze(-1)
        return torch.cat([pull[:, :n] + of_shape, pull[:, n:]], dim=1)


def bounded_step(
    hessian: Tensor,
    gradient: Tensor,
    coefficients: Tensor,
    model: LandmarkModel,
    prior: CoefficientPrior,
    damping: Tensor,
    people: People,
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
        people: Of the faces; those of one person get one step of the shape.

    Returns:
        Pose steps (B, P) and new coefficients (B, K).
    """
    p, n = gradient.shape[1] - coefficients.shape[1], model.n_shape
    # Gradient and curvature of the prior join those of the data before the bounds apply.
    gradient, hessian = gradient.clone(), hessian.clone()
    gradient[:, p:] += prior.descent(coefficients)
    if prior.shape_precision is not None:
        hessian[:, p : p + n, p : p + n] += prior.shape_precision
    diagonal = hessian.diagonal(dim1=-2, dim2=-1)
    diagonal[:, p:] += prior.precision
    # Damping relative to the diagonal makes the step independent of the units of pose and coefficients.
    diagonal.mul_(1 + damping[:, None])
    outward = gradient[:, p:]
    if not people.are_single:  # all faces of a person must fix the same coefficients
        outward = torch.cat([people.sum(outward[:, :n]), outward[:, n:]], dim=1)
    fixed = ((coefficients <= model.low) & (outward < 0)) | ((coefficients >= model.high) & (outward > 0))
    fixed_step: Tensor | None = None  # the steps of the fixed coefficients; None for zeros
    step, limited = gradient, coefficients
    for _ in range(ACTIVE_SET_ITERATIONS):
        step = _shared_solve(*_with_fixed(hessian, gradient, fixed, fixed_step), slice(p, p + n), people)
        unbounded = coefficients + step[:, p:]
        limited = unbounded.clamp(model.low, model.high)
        hit = limited != unbounded
        if not bool((hit & ~fixed).any()):
            break
        to_bound = torch.where(hit & ~fixed, limited - coefficients, 0.0)
        fixed_step = to_bound if fixed_step is None else fixed_step + to_bound
        fixed = fixed | hit
    return step[:, :p], limited


def _with_fixed(hessian: Tensor, gradient: Tensor, fixed: Tensor, fixed_step: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the normal equations (B, P + K, P + K) and (B, P + K) that fix some coefficients.

    Rows of fixed unknowns become step = fixed step, which moves to the right-hand side of the free rows.

    Args:
        hessian: (B, P + K, P + K), damped.
        gradient: (B, P + K).
        fixed: (B, K) bool, which coefficients are fixed.
        fixed_step: (B, K) their steps, 0 for the free ones; None if all are 0.
    """
    p = gradient.shape[1] - fixed.shape[1]
    free = torch.ones_like(gradient)
    free[:, p:] = ~fixed
    rhs = gradient * free
    if fixed_step is not None:
        moved = (hessian[:, :, p:] @ fixed_step.unsqueeze(-1)).squeeze(-1)
        rhs -= moved * free
        rhs[:, p:] += fixed_step
    bounded = hessian * (free[:, :, None] * free[:, None, :])
    bounded.diagonal(dim1=-2, dim2=-1).add_(1 - free)
    return bounded, rhs


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


def _shared_solve(hessian: Tensor, gradient: Tensor, shared: slice, people: People) -> Tensor:
    """Solve for steps (B, P + K) whose `shared` entries are equal for all faces of a person.

    The unknowns of a single face (o, own) are eliminated by the Schur complement H_cc - H_co H_oo^-1 H_oc; the
    complements of a person's faces add up to one small system for the common unknowns (c).
    """
    if people.are_single:
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
    total, total_gradient = people.total(reduced), people.total(reduced_gradient)
    common_step = damped_solve(total, total_gradient.unsqueeze(-1))[people.person]
    own_step = solved[..., -1:] - solved[..., :-1] @ common_step
    step = torch.empty_like(gradient)
    step[:, order] = torch.cat([own_step, common_step], dim=1).squeeze(-1)
    return step
