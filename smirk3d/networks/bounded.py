"""Keeping outputs in their range without losing the gradient at its ends."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable


def bounded(values: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Clamp `values`; at and beyond a bound, a gradient that leads back inside still passes.

    A plain clamp has no gradient outside its range: an output that left it never comes back. A sigmoid comes back,
    yet cannot say 0, which most expression weights of most faces are. Passing every gradient would let outputs
    whose best value is the bound run away from it for ever. So: the projected gradient. A step of descent moves
    against the gradient, which therefore passes below `low` where it is negative and above `high` where positive.

    Args:
        values: (..., N) any float dtype.
        low: (N,) lower bounds, -inf for none. high: (N,) upper bounds, inf for none.

    Returns:
        (..., N), the same numbers as `torch.clamp`.

    Source: the optimality conditions of bound-constrained problems (Nocedal and Wright, section 16.7).
    """
    if torch.is_grad_enabled() and values.requires_grad:
        return _ProjectedClamp.apply(values, low, high)
    return torch.clamp(values, low, high)  # plain operators, which can be exported


class _ProjectedClamp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, values: Tensor, low: Tensor, high: Tensor) -> Tensor:
        ctx.save_for_backward(values, low, high)
        return torch.clamp(values, low, high)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:
        values, low, high = ctx.saved_tensors
        leads_out = ((values <= low) & (gradient > 0)) | ((values >= high) & (gradient < 0))
        return gradient.masked_fill(leads_out, 0.0), None, None
