"""Local colour correction of a neurally rendered photo."""

from __future__ import annotations

import torch
from torch import Tensor

from smirk3d.masking.photo import MaskedPhoto

SIGMA_FRACTION = 0.1
"""Standard deviation of the Gaussian over known pixels, as a fraction of the image's side."""
_PRIOR_WEIGHT = 0.01
"""Weight of the mean over the whole image, relative to a fully known neighbourhood; decides where no pixel is near."""
_EPSILON = 1e-6


def match_colors(rendered: Tensor, masked: MaskedPhoto, face: Tensor) -> Tensor:
    """Multiply each channel by a smooth gain, so that the local mean colour agrees with that of the known pixels.

    The face and its surroundings, of which far more pixels are known, get separate gains. Pixels of the removed rim
    between them blend both, by which of the two local means their rendered colour is closer to. Structure finer than
    `SIGMA_FRACTION` is kept as rendered.

    Args:
        rendered: (B,3,H,W) float in [0,1], output of the neural renderer.
        masked: Its masked input, whose kept and sampled pixels are the known ones; on the same device.
        face: (B,1,H,W) bool, where the rendered face is.

    Returns:
        (B,3,H,W) float in [0,1]; an area without any known pixel is left as it was rendered.
    """
    surroundings = masked.keep_mask & ~face
    gains, distances = [], []
    for known in (face & (masked.keep_mask | masked.sampled_mask), surroundings):
        both = torch.cat([masked.image.to(rendered), rendered], dim=1)
        photo_mean, rendered_mean = _local_means(both, known).split(3, dim=1)
        gains.append((photo_mean + _EPSILON) / (rendered_mean + _EPSILON))
        distances.append((rendered - rendered_mean).square().sum(1, keepdim=True) + _EPSILON)
    # In the rim it is unknown whether skin or background was rendered; its colour decides, softly.
    rim = distances[1] / (distances[0] + distances[1])
    face_share = torch.where(face, 1.0, torch.where(surroundings, 0.0, rim))
    return (rendered * (face_share * gains[0] + (1 - face_share) * gains[1])).clamp(0, 1)


def _local_means(image: Tensor, known: Tensor) -> Tensor:
    """Return the Gaussian-weighted means (B,C,H,W) of the known pixels (B,1,H,W) around each pixel."""
    # The Gaussian is separable: one matrix product for the rows, one for the columns.
    row, column = (_gaussian(side, image) for side in image.shape[-2:])
    weighted = torch.cat([image * known, known.to(image)], dim=1)
    total = row @ weighted @ column + _PRIOR_WEIGHT * weighted.mean((2, 3), keepdim=True)
    return total[:, :-1] / total[:, -1:].clamp(min=_EPSILON**2)


def _gaussian(side: int, like: Tensor) -> Tensor:
    """Return the (side, side) matrix that convolves a line of pixels with the Gaussian."""
    position = torch.arange(side, dtype=like.dtype, device=like.device) / (SIGMA_FRACTION * side)
    density = torch.exp(-0.5 * (position - position[:, None]).square())
    return density / (SIGMA_FRACTION * side * (2 * torch.pi) ** 0.5)
