"""The same face in another frame: turned, smaller or larger, compressed. What it expresses is the same."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

TURN_RAD = 0.25
SIDE = (0.7, 1.3)
"""Pixels of the frame per pixel of the crop: how large the face is in the video."""
SHIFT_PX = 1.0
COMPRESSED, QUALITY = 0.6, (55, 95)
"""Share of the frames that went through JPEG, and its quality."""


def frame_augmentation(crops: Tensor, place: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return crops of other frames with the same faces, and where windows are in them.

    Args:
        crops: (B, 3, S, S) in [0, 1]. place: (B, 2, 3) from window to crop, both in [-1, 1].
        generator: All randomness.

    Returns:
        Crops (B, 3, S, S), black outside of the old ones, and places (B, 2, 3).
    """
    count, side = len(crops), crops.shape[-1]

    def uniform(low: float, high: float, *size: int) -> Tensor:
        return low + (high - low) * torch.rand(size, generator=generator)

    frame_side = round(side * float(uniform(*SIDE)))
    small = functional.interpolate(crops, (frame_side, frame_side), mode="bilinear", antialias=True)
    turn, shift = uniform(-TURN_RAD, TURN_RAD, count), uniform(-1, 1, count, 2) * 2 * SHIFT_PX / frame_side
    to_old = torch.stack([turn.cos(), -turn.sin(), turn.sin(), turn.cos()], 1).view(-1, 2, 2)
    grid = functional.affine_grid(torch.cat([to_old, shift[..., None]], 2), list(small.shape), align_corners=False)
    mode = "bicubic" if float(uniform(0, 1)) < 0.5 else "bilinear"
    frames = functional.grid_sample(small, grid, mode=mode, align_corners=False).clamp(0, 1)
    is_compressed = uniform(0, 1, count) < COMPRESSED
    quality = uniform(*QUALITY, count).int().tolist()
    frames = torch.stack([_jpeg(f, q) if c else f for f, q, c in zip(frames, quality, is_compressed)])
    again = functional.interpolate(frames, (side, side), mode="bilinear", antialias=True)
    moved = torch.cat([place[:, :, :2], (place[:, :, 2] - shift)[..., None]], 2)
    return again, to_old.mT @ moved


def _jpeg(image: Tensor, quality: int) -> Tensor:
    """Return an image (3, H, W) after compression."""
    pixels = Image.fromarray(image.mul(255).round().byte().permute(1, 2, 0).numpy())
    file = io.BytesIO()
    pixels.save(file, "JPEG", quality=quality)
    return torch.from_numpy(np.asarray(Image.open(file)).copy()).permute(2, 0, 1).float() / 255
