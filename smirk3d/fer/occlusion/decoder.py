"""The convolutional decoder: tokens of all patches to pixels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, gelu, pad, pixel_shuffle, pixel_unshuffle

from smirk3d.fer.occlusion.patches import GRID, PATCH_PX

_CHANNELS, _STEP = 64, 4
"""Channels of the fine map, which has a place for each square of `_STEP` by `_STEP` pixels."""


class Decoder(nn.Module):
    """Makes a map of tokens twice as fine, joins the pixels of a first guess to it, and reads off what that lacks.

    Args:
        width: Width of a token.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.widen = nn.Conv2d(width, 4 * _CHANNELS, 1)
        self.mix = nn.Conv2d(_CHANNELS + _STEP**2 + 1, _CHANNELS, 3, padding=1)
        self.pixels = nn.Conv2d(_CHANNELS, _STEP**2, 3, padding=1)
        nn.init.zeros_(self.pixels.weight)
        nn.init.zeros_(self.pixels.bias)  # type: ignore[arg-type]

    def forward(self, tokens: Tensor, base: Tensor, is_visible: Tensor) -> Tensor:
        """Return what is to be added to a first guess, (B, 1, 96, 96); nothing before training.

        Args:
            tokens: (B, 144, W).
            base: (B, 1, 96, 96), visible pixels, and the first guess where hidden.
            is_visible: (B, 1, 96, 96), 1 or 0.
        """
        grid = tokens.transpose(1, 2).reshape(len(tokens), -1, GRID, GRID)
        fine = pixel_shuffle(self.widen(grid), 2)
        known = torch.cat([pixel_unshuffle(base, _STEP), is_visible[..., ::_STEP, ::_STEP]], 1)
        fine = fine + self.mix(torch.cat([gelu(fine, approximate="tanh"), known.to(fine.dtype)], 1))
        return pixel_shuffle(self.pixels(gelu(fine, approximate="tanh")), _STEP).float()


def without_grid(correction: Tensor) -> Tensor:
    """Return a correction (B, 1, S, S) without the pattern of the patches.

    All patches are read off with the same weights, so that each has a like pattern. A mean over the length of a patch,
    along rows and along columns, removes every pattern of that period, and keeps slower changes.
    """
    kernel = torch.ones(PATCH_PX + 1)
    kernel[[0, -1]] = 0.5
    kernel = kernel / kernel.sum()
    padded = pad(correction, (PATCH_PX // 2,) * 4, mode="replicate")
    return conv2d(conv2d(padded, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1))
