"""Least squares with bounds, for many right-hand sides at once."""

from __future__ import annotations

import torch
from torch import Tensor

ITERATIONS, ROUGH_ITERATIONS = 300, 100
OVER_RELAXATION = 1.7
POLISH_ROUNDS = 4
POLISH_ROWS = 1024
"""Rows that are polished at a time, which bounds the memory."""


def bounded_lstsq(gram: Tensor, right: Tensor, low: float = 0.0, high: float = 1.0, *, polish: bool = True) -> Tensor:
    """Return x (B, K) with entries in [low, high] that minimises ½ xᵀ G x - bᵀ x for each row b.

    Args:
        gram: (K, K) positive definite G. right: (B, K) rows b. low: lower bound. high: upper bound.
        polish: find the minimum to rounding errors; without it to about a hundredth of the range.

    Source: alternating direction method of multipliers with over-relaxation (Boyd et al. 2011, section 5.2) finds
    about which entries sit on their bounds; coordinate descent and projected Newton steps (Bertsekas 1982) finish.
    """
    # Actions that look alike make G ill-conditioned: single precision would be felt.
    gram64, right64 = gram.double(), right.double()
    scale = gram64.diagonal().rsqrt()
    unit, scaled = gram64 * (scale[:, None] * scale), right64 * scale
    bounds = (low / scale, high / scale)
    x = _alternate(unit, scaled, bounds, ITERATIONS if polish else ROUGH_ITERATIONS)
    if polish:
        parts = zip(x.split(POLISH_ROWS), scaled.split(POLISH_ROWS))
        x = torch.cat([_polish(unit, b, part, bounds) for part, b in parts])
    x = x * scale
    return x.clamp(low, high).to(right.dtype)


def _alternate(gram: Tensor, right: Tensor, bounds: tuple[Tensor, Tensor], iterations: int) -> Tensor:
    spectrum, vectors = torch.linalg.eigh(gram)
    rho = (spectrum.clamp_min(1e-6).min() * spectrum.max()).sqrt()
    inverse = (vectors / (spectrum + rho)) @ vectors.T
    z, u = torch.zeros_like(right).clamp(*bounds), torch.zeros_like(right)
    for _ in range(iterations):
        x = (right + rho * (z - u)) @ inverse
        x = OVER_RELAXATION * x + (1 - OVER_RELAXATION) * z
        z = (x + u).clamp(*bounds)
        u = u + x - z
    return z


def _polish(gram: Tensor, right: Tensor, x: Tensor, bounds: tuple[Tensor, Tensor]) -> Tensor:
    """Return rows that are nowhere worse: sweeps over single entries settle the bounds, Newton steps the rest."""
    low, high = bounds
    for _ in range(POLISH_ROUNDS):
        x = _sweep(gram, right, x, bounds)
        slope = right - x @ gram
        held = ((x <= low) & (slope <= 0)) | ((x >= high) & (slope >= 0))
        step = _newton_step(gram, slope, ~held)
        for length in (torch.ones_like(x[:, :1]), _length_to_bounds(x, step, bounds)):
            tried = (x + length * step).clamp(low, high)
            gain = ((tried - x) * (right - 0.5 * (tried + x) @ gram)).sum(1, keepdim=True)
            x = torch.where(gain > 0, tried, x)
    return x


def _sweep(gram: Tensor, right: Tensor, x: Tensor, bounds: tuple[Tensor, Tensor]) -> Tensor:
    """Move one entry after the other to its best place (coordinate descent)."""
    x, slope = x.T.clone(), (right - x @ gram).T.clone()
    for k in range(len(gram)):
        moved = (x[k] + slope[k] / gram[k, k]).clamp(bounds[0][k], bounds[1][k])
        slope -= gram[k][:, None] * (moved - x[k])
        x[k] = moved
    return x.T


def _newton_step(gram: Tensor, slope: Tensor, free: Tensor) -> Tensor:
    """Return the step (B, K) of the free entries (B, K) bool to where their slope vanishes."""
    on = free.to(slope.dtype)
    matrix = gram * (on[:, :, None] * on[:, None, :])
    matrix.diagonal(dim1=-2, dim2=-1).add_(1 - on)
    factor, _ = torch.linalg.cholesky_ex(matrix)
    return torch.cholesky_solve((slope * on)[..., None], factor)[..., 0]


def _length_to_bounds(x: Tensor, step: Tensor, bounds: tuple[Tensor, Tensor]) -> Tensor:
    """Return the share (B, 1) of each step at which the first entry meets its bound."""
    room = torch.where(step > 0, bounds[1] - x, x - bounds[0])
    return torch.where(step != 0, room / step.abs(), torch.inf).amin(1, keepdim=True).clamp(0, 1)
