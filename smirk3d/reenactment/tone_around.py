"""Colours of the model that meet those of the photo around them without a border."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from smirk3d.reenactment.source_photo import SourcePhoto
from smirk3d.render.photo_warp.image_fields import blur, pixel_grid

NEAR = 0.02
"""Standard deviation of the neighbourhood whose tone counts, over the side of the region."""
LARGEST_CHANGE = 0.35
"""Largest logarithm of the photo over the model that counts: beyond it there are brows, lashes or glasses."""


def with_tone_around(
    fill: Tensor, source: SourcePhoto, displacement: Tensor, where: Tensor, photo_share: Tensor
) -> Tensor:
    """Return the fill in the tone that the moved photo has around it.

    Args:
        fill: (3, S, S) in [0, 1], colours of the model under the photo's light.
        source: The photo.
        displacement: (S, S, 2) from each pixel to where the photo shows its point, half sides.
        where: (S, S) positive where the tone is wanted.
        photo_share: (S, S) in [0, 1], how much of each pixel the photo shows.
    """
    rows, columns = ((where > 0).any(dim).nonzero()[:, 0] for dim in (1, 0))
    if not len(rows):
        return fill
    size, margin = len(where), round(3 * NEAR * len(where))
    low = [max(int(each.min()) - margin, 0) for each in (rows, columns)]
    high = [min(int(each.max()) + margin + 1, size) for each in (rows, columns)]
    box = (slice(low[0], high[0]), slice(low[1], high[1]))
    at = (pixel_grid(size) + displacement)[box]
    photo = functional.grid_sample(source.cut[None], at[None], align_corners=False)[0]
    own = fill[:, box[0], box[1]]
    ratio = (photo.clamp_min(0.02).log() - own.clamp_min(0.02).log()).clamp(-LARGEST_CHANGE, LARGEST_CHANGE)
    weight = photo_share[box]
    total, around = (_near(each, NEAR * size) for each in (ratio * weight, weight[None]))
    result = fill.clone()
    result[:, box[0], box[1]] = torch.where(where[box] > 0, own * (total / (around + 0.02)).exp(), own).clamp(0, 1)
    return result


def _near(image: Tensor, sigma_px: float) -> Tensor:
    """Blur an image (C, H, W)."""
    height, width = image.shape[1:]
    side = max(height, width)
    padded = functional.pad(image[None], (0, side - width, 0, side - height), mode="replicate")[0]
    return blur(padded, sigma_px / side)[:, :height, :width]
