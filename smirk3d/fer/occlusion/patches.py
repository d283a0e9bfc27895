"""The grid of patches into which a window is divided."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import conv2d, interpolate, max_pool2d, pad

SIDE_PX = 96
"""Side of the window that is repaired, in pixels."""
PATCH_PX = 8
"""Side of a patch in pixels."""
GRID = SIDE_PX // PATCH_PX
"""Patches along a side."""
N_PATCHES = GRID**2
"""Patches of a window, row by row."""


def to_patches(images: Tensor) -> Tensor:
    """Return the patches (B, 144, 64) of images (B, 1, 96, 96)."""
    cells = images.reshape(-1, GRID, PATCH_PX, GRID, PATCH_PX).transpose(2, 3)
    return cells.reshape(-1, N_PATCHES, PATCH_PX**2)


def to_pixels(values: Tensor) -> Tensor:
    """Return a value of each patch (B, 144) as an image (B, 1, 96, 96)."""
    grid = values.reshape(-1, 1, GRID, GRID).float()
    return interpolate(grid, scale_factor=float(PATCH_PX), mode="nearest")


def patch_shares(coverage: Tensor) -> Tensor:
    """Return the mean of images (B, 1, 96, 96) over each patch, (B, 144)."""
    return to_patches(coverage).mean(2)


def majority(is_hidden: Tensor) -> Tensor:
    """Return for each patch what most patches of its 3 by 3 neighbourhood are; at the border, of those that exist.

    Args:
        is_hidden: (B, 144) bool.

    Returns:
        (B, 144) bool.
    """
    grid = is_hidden.reshape(-1, 1, GRID, GRID).float()
    kernel = torch.ones(1, 1, 3, 3)
    hidden = conv2d(pad(grid, (1, 1, 1, 1)), kernel)
    known = conv2d(pad(torch.ones_like(grid[:1]), (1, 1, 1, 1)), kernel)
    return (2 * hidden > known).reshape(-1, N_PATCHES)


def grown(is_hidden: Tensor) -> Tensor:
    """Return patches (B, 144) bool and their eight neighbours."""
    grid = is_hidden.reshape(-1, 1, GRID, GRID).float()
    return max_pool2d(grid, 3, stride=1, padding=1).reshape(-1, N_PATCHES) > 0
