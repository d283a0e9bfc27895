"""Clamping of network outputs with a projected gradient."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable


def bounded(values: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Clamp values; at and beyond a bound, gradients that lead back inside still pass.

    A plain clamp has no gradient outside its range, so an output that left it never returns. A sigmoid never reaches
    0, the value of most expression weights of most faces. A straight-through gradient lets outputs whose optimum is
    the bound drift away from it. The projected gradient has none of these faults: gradient descent moves against the
    gradient, which therefore passes below `low` where it is negative, and above `high` where it is positive.

    Args:
        values: (..., N) float, any float dtype.
        low: (N,) float, lower bounds, -inf for none.
        high: (N,) float, upper bounds, inf for none.

    Returns:
        (..., N) float, equal to `torch.clamp`.

    Source: the optimality conditions of bound-constrained problems (Nocedal and Wright, section 16.7).
    """
    if torch.is_grad_enabled() and values.requires_grad:
        return _ProjectedClamp.apply(values, low, high)
    return torch.clamp(values, low, high)  # plain operators, which ONNX can export


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
