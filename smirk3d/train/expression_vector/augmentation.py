"""Random changes of grey face windows, a whole batch at a time."""

from __future__ import annotations

import io
import math

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

from smirk3d.train.expression_vector.config import FerAugmentConfig

_COARSE_PX = (20, 24, 28, 36)
_JPEG_QUALITY = (25, 80)
_ERASED_AREA = (0.02, 0.2)


def augmented(
    windows: Tensor, side_px: int, settings: FerAugmentConfig, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return changed windows, and which of them are mirrored.

    Args:
        windows: (B, 48, 48) uint8.
        side_px: Side of the result.
        settings: Strengths.
        generator: Of all random numbers.

    Returns:
        (B, 1, side_px, side_px) float32 in [0, 1], and (B,) bool.
    """
    flip = torch.rand(len(windows), generator=generator) < 0.5
    images = windows[:, None].float() / 255
    images = _compressed(_coarse(images, settings.blur, generator), settings.jpeg, generator)
    images = _moved(images, side_px, flip, settings, generator)
    images = _relit(images, settings, generator)
    images = images + _uniform(images, 0, settings.noise, generator) * torch.randn(images.shape, generator=generator)
    return _erased(images, settings.erased, generator).clamp(0, 1), flip


def _uniform(images: Tensor, low: float, high: float, generator: torch.Generator) -> Tensor:
    """Return a number for each image, (B, 1, 1, 1)."""
    return low + (high - low) * torch.rand(len(images), 1, 1, 1, generator=generator)


def _chosen(images: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Return the indices of a random share of the images."""
    return torch.nonzero(torch.rand(len(images), generator=generator) < share)[:, 0]


def _coarse(images: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Reduce some images and enlarge them again."""
    rows = _chosen(images, share, generator)
    if not len(rows):
        return images
    side_px = _COARSE_PX[int(torch.randint(len(_COARSE_PX), (), generator=generator))]
    small = interpolate(images[rows], size=(side_px, side_px), mode="bilinear", antialias=True)
    result = images.clone()
    result[rows] = interpolate(small, size=images.shape[2:], mode="bilinear")
    return result


def _compressed(images: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Compress some images as JPEG."""
    rows = _chosen(images, share, generator)
    result = images.clone() if len(rows) else images
    for row in rows.tolist():
        quality = int(torch.randint(*_JPEG_QUALITY, (), generator=generator))
        file = io.BytesIO()
        Image.fromarray((images[row, 0] * 255).byte().numpy()).save(file, "JPEG", quality=quality)
        result[row, 0] = torch.from_numpy(np.array(Image.open(file))).float() / 255
    return result


def _moved(
    images: Tensor, side_px: int, flip: Tensor, settings: FerAugmentConfig, generator: torch.Generator
) -> Tensor:
    """Resample images after a rotation, a scale, a shift and where chosen a reflection; borders are repeated."""
    count = len(images)
    angle = (2 * torch.rand(count, generator=generator) - 1) * math.radians(settings.turn_deg)
    scale = (settings.scale * torch.randn(count, generator=generator)).exp()
    shift = settings.shift * torch.randn(count, 2, generator=generator)
    sign = 1 - 2 * flip.float()
    cosine, sine = scale * angle.cos(), scale * angle.sin()
    steps = (torch.arange(side_px) + 0.5) * (2 / side_px) - 1
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    points = torch.stack([x.flatten(), y.flatten()], 1)  # (S², 2)
    rows = torch.stack([torch.stack([cosine * sign, -sine], 1), torch.stack([sine * sign, cosine], 1)], 1)
    grid = points @ rows.transpose(1, 2) + shift[:, None]
    return grid_sample(images, grid.view(count, side_px, side_px, 2), padding_mode="border", align_corners=False)


def _relit(images: Tensor, settings: FerAugmentConfig, generator: torch.Generator) -> Tensor:
    """Change gamma, contrast and brightness."""
    gamma = _uniform(images, -settings.gamma, settings.gamma, generator).exp()
    contrast = 1 + _uniform(images, -settings.contrast, settings.contrast, generator)
    brightness = _uniform(images, -settings.brightness, settings.brightness, generator)
    curved = images.clamp(1e-4, 1) ** gamma
    mean = curved.mean((2, 3), keepdim=True)
    return ((curved - mean) * contrast + mean + brightness).clamp(0, 1)


def _erased(images: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Hide a rectangle of some images behind one grey."""
    side_px = images.shape[-1]
    result = images.clone()
    for row in _chosen(images, share, generator).tolist():
        area, shape, left, top, grey = torch.rand(5, generator=generator).tolist()
        area = (_ERASED_AREA[0] + area * (_ERASED_AREA[1] - _ERASED_AREA[0])) * side_px**2
        ratio = math.exp((2 * shape - 1) * math.log(2.5))
        height = min(side_px, max(1, round(math.sqrt(area * ratio))))
        width = min(side_px, max(1, round(math.sqrt(area / ratio))))
        y, x = int(top * (side_px - height + 1)), int(left * (side_px - width + 1))
        result[row, :, y : y + height, x : x + width] = grey
    return result
