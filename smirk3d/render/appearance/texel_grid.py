"""Colours of a surface in small squares, so many a triangle, that move and bend with it."""

from __future__ import annotations

import torch
from torch import Tensor

from smirk3d.render.fragments import Fragments

SQUARES = 6
"""Squares along a side of a triangle: under a millimetre on the open head, a third of a pixel."""


def texel_centers() -> Tensor:
    """Return where the middles of a triangle's squares lie, (SQUARES², 3) barycentric."""
    steps = (torch.arange(SQUARES) + 0.5) / SQUARES
    first, second = torch.cartesian_prod(steps, steps).unbind(1)
    weights = torch.stack([first, second, (1 - first - second).clamp_min(0)], dim=1)
    return weights / weights.sum(1, keepdim=True)


def texel_index(fragments: Fragments, pixel: Tensor) -> Tensor:
    """Return the squares that pixels show, (N,) int64, numbered triangle by triangle.

    Args:
        fragments: The visible surface. pixel: (N,) covered pixels, as of `interpolate_covered`.
    """
    cell = (fragments.barycentric.reshape(-1, 3).index_select(0, pixel) * SQUARES).long().clamp_(0, SQUARES - 1)
    face = fragments.face_index.reshape(-1).index_select(0, pixel)
    return face * SQUARES**2 + cell[:, 0] * SQUARES + cell[:, 1]
