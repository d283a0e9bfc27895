"""Least squares with bounds, for many right-hand sides at once."""

# The stubs of torch, NumPy and trimesh leave some types unknown; everything else is checked strictly.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import torch
from torch import Tensor

ITERATIONS, ROUGH_ITERATIONS = 300, 100
OVER_RELAXATION = 1.7
POLISH_ROUNDS = 4
POLISH_ROWS = 1024
"""Rows that are polished at a time, which limits the memory: each takes a K by K matrix."""


def bounded_lstsq(gram: Tensor, rhs: Tensor, low: float = 0.0, high: float = 1.0, *, polish: bool = True) -> Tensor:
    """Minimise ½ xᵀ G x - bᵀ x subject to low <= x <= high, for each row b of the right-hand side.

    Args:
        gram: (K, K) float, positive definite G.
        rhs: (B, K) float, rows b.
        low: Lower bound of every entry.
        high: Upper bound of every entry.
        polish: Solve to rounding errors; False solves to about a hundredth of the range.

    Returns:
        (B, K) float in [low, high], in the dtype of `rhs`.

    Source: the alternating direction method of multipliers with over-relaxation (Boyd et al., "Distributed
    Optimization and Statistical Learning via the Alternating Direction Method of Multipliers", 2011, sections 3.4.3
    and 5.2) finds most of the active set; coordinate descent and projected Newton steps (Bertsekas, "Projected Newton
    Methods", 1982) finish.
    """
    # Similar blendshapes make G ill-conditioned; single precision is not enough.
    gram64, rhs64 = gram.double(), rhs.double()
    # A unit diagonal evens out the curvature, which speeds up the splitting method; the bounds scale along.
    scale = gram64.diagonal().rsqrt()
    unit, scaled = gram64 * (scale[:, None] * scale), rhs64 * scale
    bounds = (low / scale, high / scale)
    x = _admm(unit, scaled, bounds, ITERATIONS if polish else ROUGH_ITERATIONS)
    if polish:
        parts = zip(x.split(POLISH_ROWS), scaled.split(POLISH_ROWS))
        x = torch.cat([_polish(unit, b, part, bounds) for part, b in parts])
    x = x * scale
    return x.clamp(low, high).to(rhs.dtype)


def _admm(gram: Tensor, rhs: Tensor, bounds: tuple[Tensor, Tensor], iterations: int) -> Tensor:
    """Return approximate minima (B, K) that satisfy the bounds."""
    spectrum, vectors = torch.linalg.eigh(gram)
    # The best penalty for quadratic programs: the geometric mean of the extreme eigenvalues (Ghadimi et al., 2015).
    rho = (spectrum.clamp_min(1e-6).min() * spectrum.max()).sqrt()
    inverse = (vectors / (spectrum + rho)) @ vectors.T
    z, u = torch.zeros_like(rhs).clamp(*bounds), torch.zeros_like(rhs)
    for _ in range(iterations):
        x = (rhs + rho * (z - u)) @ inverse
        x = OVER_RELAXATION * x + (1 - OVER_RELAXATION) * z
        z = (x + u).clamp(*bounds)
        u = u + x - z
    return z


def _polish(gram: Tensor, rhs: Tensor, x: Tensor, bounds: tuple[Tensor, Tensor]) -> Tensor:
    """Improve rows: coordinate descent settles the active set, Newton steps solve for the free entries."""
    low, high = bounds
    for _ in range(POLISH_ROUNDS):
        x = _coordinate_descent(gram, rhs, x, bounds)
        slope = rhs - x @ gram
        # Entries at a bound whose descent direction leads outside stay fixed.
        fixed = ((x <= low) & (slope <= 0)) | ((x >= high) & (slope >= 0))
        step = _newton_step(gram, slope, ~fixed)
        # The full step is clamped, which may raise the objective; the shorter step stays inside the bounds.
        for length in (torch.ones_like(x[:, :1]), _length_to_bounds(x, step, bounds)):
            candidate = (x + length * step).clamp(low, high)
            gain = ((candidate - x) * (rhs - 0.5 * (candidate + x) @ gram)).sum(1, keepdim=True)
            x = torch.where(gain > 0, candidate, x)
    return x


def _coordinate_descent(gram: Tensor, rhs: Tensor, x: Tensor, bounds: tuple[Tensor, Tensor]) -> Tensor:
    """Minimise over each entry in turn, once."""
    x, slope = x.T.clone(), (rhs - x @ gram).T.clone()
    for k in range(len(gram)):
        updated = (x[k] + slope[k] / gram[k, k]).clamp(bounds[0][k], bounds[1][k])
        slope -= gram[k][:, None] * (updated - x[k])
        x[k] = updated
    return x.T


def _newton_step(gram: Tensor, slope: Tensor, free: Tensor) -> Tensor:
    """Return the step (B, K) of the free entries (B, K) bool to where their slope vanishes; 0 for the others."""
    on = free.to(slope.dtype)
    # Rows and columns of fixed entries become those of the identity, so that one batched solve serves all rows.
    matrix = gram * (on[:, :, None] * on[:, None, :])
    matrix.diagonal(dim1=-2, dim2=-1).add_(1 - on)
    factor, _ = torch.linalg.cholesky_ex(matrix)
    return torch.cholesky_solve((slope * on)[..., None], factor)[..., 0]


def _length_to_bounds(x: Tensor, step: Tensor, bounds: tuple[Tensor, Tensor]) -> Tensor:
    """Return the fraction (B, 1) of each step at which the first entry reaches its bound."""
    room = torch.where(step > 0, bounds[1] - x, x - bounds[0])
    return torch.where(step != 0, room / step.abs(), torch.inf).amin(1, keepdim=True).clamp(0, 1)
