"""Frame augmentation for temporal consistency: the same face and expression as in another frame of a video."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

MAX_TURN_RAD = 0.25
SCALE_RANGE = (0.7, 1.3)
"""Resolution of the frame over that of the crop."""
MAX_SHIFT_PX = 1.0
JPEG_PROBABILITY, JPEG_QUALITY = 0.6, (55, 95)


def frame_augmentation(crops: Tensor, affine: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Resample crops as other frames of a video: rotation, sub-pixel shift, resolution, JPEG.

    Args:
        crops: (B, 3, S, S) in [0, 1].
        affine: (B, 2, 3) maps from face window to crop, both [-1, 1].
        generator: All randomness, on the CPU.

    Returns:
        Crops (B, 3, S, S), black outside the old ones, and the maps (B, 2, 3) from window to new crop.
    """
    count, side = len(crops), crops.shape[-1]

    def uniform(low: float, high: float, *size: int) -> Tensor:
        return low + (high - low) * torch.rand(size, generator=generator)

    frame_side = round(side * float(uniform(*SCALE_RANGE)))
    resized = functional.interpolate(crops, (frame_side, frame_side), mode="bilinear", antialias=True)
    turn, shift = uniform(-MAX_TURN_RAD, MAX_TURN_RAD, count), uniform(-1, 1, count, 2) * 2 * MAX_SHIFT_PX / frame_side
    to_old = torch.stack([turn.cos(), -turn.sin(), turn.sin(), turn.cos()], 1).view(-1, 2, 2)
    grid = functional.affine_grid(torch.cat([to_old, shift[..., None]], 2), list(resized.shape), align_corners=False)
    mode = "bicubic" if float(uniform(0, 1)) < 0.5 else "bilinear"
    frames = functional.grid_sample(resized, grid, mode=mode, align_corners=False).clamp(0, 1)
    is_compressed = uniform(0, 1, count) < JPEG_PROBABILITY
    quality = uniform(*JPEG_QUALITY, count).int().tolist()
    frames = torch.stack([_jpeg(f, q) if c else f for f, q, c in zip(frames, quality, is_compressed)])
    result = functional.interpolate(frames, (side, side), mode="bilinear", antialias=True)
    moved = torch.cat([affine[:, :, :2], (affine[:, :, 2] - shift)[..., None]], 2)
    return result, to_old.mT @ moved


def _jpeg(image: Tensor, quality: int) -> Tensor:
    """Return an image (3, H, W) in [0, 1] after JPEG compression."""
    pixels = Image.fromarray(image.mul(255).round().byte().permute(1, 2, 0).numpy())
    file = io.BytesIO()
    pixels.save(file, "JPEG", quality=quality)
    return torch.from_numpy(np.asarray(Image.open(file)).copy()).permute(2, 0, 1).float() / 255
