"""Colours of a painted photo after the pixels of the true one that the painter saw."""

from __future__ import annotations

import torch
from torch import Tensor

from smirk3d.masking.photo import MaskedPhoto

REACH = 0.1
"""Standard deviation of the Gaussian within which seen pixels count, as a share of the image's side."""
_PRIOR = 0.01
"""Weight of all the pixels of the image, over that of all that are near; counts where none is."""
_LEAST = 1e-6


def match_colours(painted: Tensor, seen: MaskedPhoto, face: Tensor) -> Tensor:
    """Multiply a painted photo by smooth gains of its channels, so that near seen pixels it has their mean colour.

    The face and what is around it, of which far more is seen, are matched apart from each other; a pixel of the rim
    between them follows the one that it was painted like. Structure that is finer than `REACH` stays as painted.

    Args:
        painted: (B, 3, H, W) float in [0, 1]. seen: What the painter saw of the photo, on the same device.
        face: (B, 1, H, W) bool, where the painted face is.

    Returns:
        (B, 3, H, W) in [0, 1]; an area of which nothing is seen is as it was painted.
    """
    around = seen.keep_mask & ~face
    gains, unlike = [], []
    for known in (face & (seen.keep_mask | seen.sampled_mask), around):
        there, here = _near_means(torch.cat([seen.image.to(painted), painted], dim=1), known).split(3, dim=1)
        gains.append((there + _LEAST) / (here + _LEAST))
        unlike.append((painted - here).square().sum(1, keepdim=True) + _LEAST)
    share = torch.where(face, 1.0, torch.where(around, 0.0, unlike[1] / (unlike[0] + unlike[1])))
    return (painted * (share * gains[0] + (1 - share) * gains[1])).clamp(0, 1)


def _near_means(image: Tensor, known: Tensor) -> Tensor:
    """Return the mean (B, C, H, W) of the known pixels (B, 1, H, W) around each, weighted by a Gaussian."""
    row, column = (_gaussian(side, image) for side in image.shape[-2:])
    weighted = torch.cat([image * known, known.to(image)], dim=1)
    total = row @ weighted @ column + _PRIOR * weighted.mean((2, 3), keepdim=True)
    return total[:, :-1] / total[:, -1:].clamp(min=_LEAST**2)


def _gaussian(side: int, like: Tensor) -> Tensor:
    place = torch.arange(side, dtype=like.dtype, device=like.device) / (REACH * side)
    return torch.exp(-0.5 * (place - place[:, None]).square()) / (REACH * side * (2 * torch.pi) ** 0.5)
