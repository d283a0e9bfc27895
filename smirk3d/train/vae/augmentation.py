"""Random changes of colour windows, a whole batch at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from smirk3d.train.vae.config import VaeAugmentConfig

_SKIN_EXPONENTS = (-0.35, 0.12, 0.5)
"""Change of the exponents of red, green and blue that makes grey skin (0.72 of 1) that of a light warm tone."""
_GREY_TOLERANCE = 4 / 255


def augmented(windows: Tensor, settings: VaeAugmentConfig, generator: torch.Generator) -> Tensor:
    """Return changed windows: mirrored at random, with another gamma, and grey ones coloured.

    Args:
        windows: (B, 3, 64, 64) uint8 RGB.
        settings: Strengths.
        generator: Of all random numbers.

    Returns:
        (B, 3, 64, 64) float32 in [0, 1].
    """
    count = len(windows)
    flip, tint = (torch.rand(count, generator=generator) < share for share in (0.5, settings.tint))
    strength = torch.rand(count, 1, generator=generator) * tint[:, None]
    gamma = (settings.gamma * (2 * torch.rand(count, 1, generator=generator) - 1)).exp()
    images = windows.float() / 255
    is_grey = (images.amax(1) - images.amin(1)).amax((1, 2)) < _GREY_TOLERANCE
    exponents = gamma * (1 + strength * is_grey[:, None] * torch.tensor(_SKIN_EXPONENTS))
    images = images.clamp_min(1e-4) ** exponents[:, :, None, None]
    return torch.where(flip[:, None, None, None], images.flip(3), images)
