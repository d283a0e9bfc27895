"""Texels in barycentric coordinates: a small grid on every triangle, which moves and deforms with it.

Unlike a texture image it needs no unwrapping and no filtering across seams.
"""

from __future__ import annotations

import torch
from torch import Tensor

from smirk3d.render.fragments import Fragments

TEXELS_PER_SIDE = 6
"""Texels along a side of a triangle, T: below a millimetre on the open head, a third of a pixel at 224 pixels."""


def texel_centers() -> Tensor:
    """Return the barycentric coordinates of the texel centres of a triangle, (T², 3) float with sum 1.

    Texels beyond the diagonal lie outside the triangle; they are projected onto its edge.
    """
    steps = (torch.arange(TEXELS_PER_SIDE) + 0.5) / TEXELS_PER_SIDE
    first, second = torch.cartesian_prod(steps, steps).unbind(1)
    weights = torch.stack([first, second, (1 - first - second).clamp_min(0)], dim=1)
    return weights / weights.sum(1, keepdim=True)


def texel_index(fragments: Fragments, pixel: Tensor) -> Tensor:
    """Return the texels that pixels show.

    Args:
        fragments: The visible surface.
        pixel: (N,) int64, covered pixels, see `interpolate_covered`.

    Returns:
        (N,) int64, row of a table of T² texels for each triangle in turn.
    """
    weights = fragments.barycentric.reshape(-1, 3).index_select(0, pixel)
    cell = (weights * TEXELS_PER_SIDE).long().clamp_(0, TEXELS_PER_SIDE - 1)
    face = fragments.face_index.reshape(-1).index_select(0, pixel)
    return face * TEXELS_PER_SIDE**2 + cell[:, 0] * TEXELS_PER_SIDE + cell[:, 1]
