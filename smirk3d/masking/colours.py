"""Colours of a painted photo after the pixels of the true one that the painter saw."""

from __future__ import annotations

import torch
from torch import Tensor

from smirk3d.masking.photo import MaskedPhoto

REACH = 0.1
"""Standard deviation of the Gaussian within which seen pixels count, as a share of the image's side."""
_PRIOR = 3e-4
"""Weight of the mean of an area's seen pixels, over that of a place where all pixels are seen; counts far from any."""
_LEAST = 1e-6


def match_colours(painted: Tensor, seen: MaskedPhoto, face: Tensor) -> Tensor:
    """Multiply a painted photo by smooth gains of its channels, so that near seen pixels it has their mean colour.

    The face and what is around it, of which far more is seen, are matched apart from each other. Structure that is
    finer than `REACH` stays as it was painted.

    Args:
        painted: (B, 3, H, W) float in [0, 1]. seen: What the painter saw of the photo, on the same device.
        face: (B, 1, H, W) bool, where the painted face is.

    Returns:
        (B, 3, H, W) in [0, 1]; an area of which nothing is seen is as it was painted.
    """
    matched = painted
    for area in (face, ~face):
        known = area & (seen.keep_mask | seen.sampled_mask)
        pairs = torch.cat([seen.image.to(painted), painted], dim=1) * known
        mean = pairs.sum((2, 3), keepdim=True) / known.sum((2, 3), keepdim=True).clamp(min=1)
        there, here = (_blurred(pairs) + _PRIOR * mean).split(3, dim=1)
        matched = torch.where(area, painted * (there + _LEAST) / (here + _LEAST), matched)
    return matched.clamp(0, 1)


def _blurred(image: Tensor) -> Tensor:
    """Sum the pixels (B, C, H, W) around each, by a Gaussian whose weights sum to 1; black beyond the borders."""
    row, column = (_gaussian(side, image) for side in image.shape[-2:])
    return row @ image @ column


def _gaussian(side: int, like: Tensor) -> Tensor:
    place = torch.arange(side, dtype=like.dtype, device=like.device) / (REACH * side)
    return torch.exp(-0.5 * (place - place[:, None]).square()) / (REACH * side * (2 * torch.pi) ** 0.5)
