"""Which patches a step hides: rectangles, or scattered ones."""

from __future__ import annotations

import torch
from torch import Tensor

from smirk3d.fer.occlusion.patches import GRID, N_PATCHES

_MAX_RECTANGLES = 6


def hidden_order(count: int, block_share: float, generator: torch.Generator) -> Tensor:
    """Return the patches of each face in the order in which they are to be hidden, (count, 144) int64.

    The first ones of a face form up to six rectangles, one after another, or lie scattered.

    Args:
        count: Number of faces.
        block_share: Share of faces with rectangles.
        generator: Of all random numbers.
    """
    rank = torch.rand(count, N_PATCHES, generator=generator)
    y, x = torch.meshgrid(torch.arange(GRID), torch.arange(GRID), indexing="ij")
    for row in torch.nonzero(torch.rand(count, generator=generator) < block_share)[:, 0].tolist():
        numbers = torch.rand(_MAX_RECTANGLES, 4, generator=generator)
        level = torch.zeros(GRID, GRID)
        for order, (top, left, height, width) in enumerate(numbers.tolist()):
            high, wide = 3 + int(height * (GRID - 4)), 3 + int(width * (GRID - 4))
            y0, x0 = int(top * (GRID - high + 1)), int(left * (GRID - wide + 1))
            inside = (y >= y0) & (y < y0 + high) & (x >= x0) & (x < x0 + wide)
            level = torch.where(inside & (level == 0), float(_MAX_RECTANGLES - order), level)
        rank[row] = rank[row] * 0.5 - level.flatten()
    return rank.argsort(1)
