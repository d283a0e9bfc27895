"""A latent code of what the 52 weights do not express of an expression, estimated from a picture of the face."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import grid_sample

from smirk3d.reenactment.transformer.keypoints import grid_positions

CROP_PX = 48
ABOVE, BELOW = 0.25, 0.05
"""Usual margins of the crop above and below the landmarks, over their height."""


class ExpressionCode(nn.Module):
    """Estimates the expression codes of faces in upright crops.

    Args:
        code_size: L, length of a code.
    """

    def __init__(self, code_size: int) -> None:
        super().__init__()
        widths = (3, 24, 48, 64, 96)
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            layers += [nn.Conv2d(inputs, outputs, 3, 2, 1), nn.GroupNorm(4, outputs), nn.GELU()]
        self.trunk = nn.Sequential(
            *layers, nn.Flatten(), nn.Linear(widths[-1] * 9, 96), nn.GELU(), nn.Linear(96, code_size)
        )

    def forward(self, crops: Tensor) -> Tensor:
        """Return the codes (B, L) of crops (B, 3, 48, 48) in [0, 1]."""
        return self.trunk(crops - 0.5)


def face_crops(images: Tensor, points: Tensor, margins: Tensor | None = None) -> Tensor:
    """Return faces stretched to squares, so that neither place nor size can be inferred, (B, 3, 48, 48).

    Args:
        images: (B, 3, S, S).
        points: (B, 478, 2) landmarks, half sides.
        margins: (B, 4) left, top, right and bottom margins over the size of the face; None for the usual ones.
    """
    low, high = points.amin(1), points.amax(1)
    if margins is None:
        margins = torch.tensor([BELOW, ABOVE, BELOW, BELOW], device=points.device).expand(len(points), 4)
    extent = high - low
    low, high = low - margins[:, :2] * extent, high + margins[:, 2:] * extent
    steps = (grid_positions(CROP_PX, images.device) + 1) / 2
    at = low[:, None] + steps * (high - low)[:, None]
    return grid_sample(images, at.view(len(images), CROP_PX, CROP_PX, 2), padding_mode="border", align_corners=False)
