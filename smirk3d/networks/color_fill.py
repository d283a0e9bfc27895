"""Colours for the removed pixels of a masked photo, interpolated from the known ones."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_MIN_SIDE = 4
"""The pyramid ends below twice this side."""
_PRIOR_COUNT = 4.0
"""Known pixels of the coarser level that count like this many of the finer one: single samples are noisy."""


def fill_colors(masked_photo: Tensor, mesh_image: Tensor) -> Tensor:
    """Return the masked photo with smooth colours where it has none.

    Pixels on the mesh take the colours of known pixels on the mesh, all others those of the surroundings.

    Args:
        masked_photo: (B, 3, H, W) float, photo in [0, 1] with its masked pixels at 0.
        mesh_image: (B, 3, H, W) float, the shaded mesh, 0 beside it.

    Returns:
        (B, 3, H, W) float, without a gradient.
    """
    masked_photo, face = masked_photo.detach(), (mesh_image.detach() > 0).any(1, keepdim=True)
    known = (masked_photo != 0).any(1, keepdim=True)
    on_face, beside = (_pull_push(masked_photo, known & region) for region in (face, ~face))
    return torch.where(face, on_face, torch.where(known, masked_photo, beside))


def _pull_push(image: Tensor, known: Tensor) -> Tensor:
    """Interpolate the known pixels (B, 1, H, W) of images (B, C, H, W) over a pyramid of means.

    Source: Gortler et al., "The Lumigraph" (SIGGRAPH 1996), section 3.4; weights are shares of known pixels here.
    """
    count = known.to(image)
    levels = [(image * count, count)]
    while min(levels[-1][0].shape[-2:]) >= 2 * _MIN_SIDE:
        total, count = (4 * functional.avg_pool2d(each, 2, ceil_mode=True) for each in levels[-1])
        levels.append((total, count))
    total, count = (each.sum((2, 3), keepdim=True) for each in levels[0])
    filled = total / count.clamp_min(1)
    for total, count in reversed(levels):
        coarser = functional.interpolate(filled, total.shape[-2:], mode="bilinear", align_corners=False)
        filled = (total + _PRIOR_COUNT * coarser) / (count + _PRIOR_COUNT)
    return filled
