"""Fields over a square picture: positions, blurs, and displacements that go on beyond a mesh."""

from __future__ import annotations

import torch
from torch import Tensor

_FADE_SIGMAS = (0.25, 0.12, 0.06, 0.03)
FADE_NDC = 0.30
"""Distance over which a displacement fades out beyond the mesh, half sides of the crop."""


def extended(displacement: Tensor, covered: Tensor) -> Tensor:
    """Return a displacement (S, S, 2) that goes on beyond the covered pixels (S, S) bool and fades out."""
    return torch.where(covered[..., None], displacement, continued(displacement, covered.float()))


def continued(displacement: Tensor, share: Tensor) -> Tensor:
    """Return a smooth displacement that goes on beyond the known pixels and fades out.

    Args:
        displacement: (S, S, 2).
        share: (S, S) in [0, 1], how much of each pixel is known.
    """
    values = (displacement * share[..., None]).permute(2, 0, 1)
    result, fade = torch.zeros_like(values), torch.zeros_like(share)
    for sigma in _FADE_SIGMAS:
        around = blur(share, sigma)
        mean = blur(values, sigma) / around.clamp_min(1e-4)
        near = (around / 0.2).clamp(0, 1)
        result, fade = result + (mean - result) * near, fade.maximum(near * _fade(sigma))
    return (result * fade).permute(1, 2, 0)


def _fade(sigma: float) -> float:
    """Return the share of the displacement that remains at the distance of a blur."""
    return max(0.0, 1 - sigma / FADE_NDC)


def blur(image: Tensor, sigma: float) -> Tensor:
    """Blur an image (..., S, S) by a Gaussian of a standard deviation relative to its side, fast where it is wide."""
    import cv2

    pixels = image.reshape(-1, *image.shape[-2:])
    side = pixels.shape[-1]
    step = max(1, int(sigma * side / 3))
    blurred = []
    for channel in pixels.numpy():
        small = cv2.resize(channel, (side // step,) * 2, interpolation=cv2.INTER_AREA) if step > 1 else channel
        small = cv2.GaussianBlur(small, (0, 0), max(sigma * len(small), 0.3), borderType=cv2.BORDER_REPLICATE)
        blurred.append(cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR) if step > 1 else small)
    return torch.stack([torch.from_numpy(each) for each in blurred]).reshape(image.shape)


def rise(value: Tensor, limits: tuple[float, float]) -> Tensor:
    """Return how far values are between two limits, in [0, 1]."""
    return ((value - limits[0]) / (limits[1] - limits[0])).clamp(0, 1)


def pixel_grid(size: int) -> Tensor:
    """Return the centres of pixels, (S, S, 2) in [-1, 1], x first."""
    line = (2 * torch.arange(size) + 1) / size - 1
    y, x = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([x, y], dim=-1)
