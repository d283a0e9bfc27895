"""Keypoints of a face, and the interpolation of their motion between them.

Keypoints are projected landmarks of the fitted head. A point of the picture near some of them has a place on the face,
and moves with these keypoints in another picture.
"""

from __future__ import annotations

import torch
from torch import Tensor

from smirk3d.head.landmark_indices import (
    BROW_LEFT,
    BROW_RIGHT,
    EYE_LEFT,
    EYE_RIGHT,
    FACE_OVAL,
    IBUG68,
    IRIS_LEFT,
    IRIS_RIGHT,
    LIPS_INNER,
    LIPS_OUTER,
)

_NOSE = (168, 6, 197, 195, 5, 4, 1, 2, 98, 97, 326, 327, 129, 358, 48, 278, 122, 351, 114, 343)
_CHEEKS = (50, 280, 205, 425, 187, 411, 117, 346, 36, 266, 123, 352, 101, 330, 207, 427, 213, 433, 147, 376)
_FOREHEAD = (8, 9, 151, 69, 299, 104, 333, 108, 337, 68, 298)
_CHIN = (18, 200, 199, 175, 208, 428, 211, 431, 32, 262)
_RINGS = (*FACE_OVAL, *LIPS_INNER, *LIPS_OUTER, *EYE_RIGHT, *EYE_LEFT, *BROW_RIGHT, *BROW_LEFT, *IRIS_RIGHT, *IRIS_LEFT)
DENSE: tuple[int, ...] = tuple(sorted({*_RINGS, *_NOSE, *_CHEEKS, *_FOREHEAD, *_CHIN}))
"""MediaPipe's landmarks from which the motion is interpolated."""
CODED: tuple[int, ...] = (*IBUG68, IRIS_RIGHT[0], IRIS_LEFT[0])
"""Those that are part of the code of a face."""
SOFTNESS = 0.03
"""Distance, half sides of the picture, below which a keypoint hardly gains influence."""
REACH = 0.15
"""Distance, half sides, at which a keypoint alone counts as much as the surroundings, which rest."""


def influences(positions: Tensor, points: Tensor) -> Tensor:
    """Return how much each keypoint counts at each position, (B, Q, K); what is missing to 1 are the surroundings.

    Inverse distances to the sixth power, as in Shepard, "A two-dimensional interpolation function for
    irregularly-spaced data" (1968).

    Args:
        positions: (Q, 2) or (B, Q, 2), half sides of the picture.
        points: (B, K, 2) keypoints.
    """
    at = positions.expand(len(points), -1, -1)
    squared = at.square().sum(2)[..., None] + points.square().sum(2)[:, None] - 2 * at @ points.transpose(1, 2)
    weight = (squared.clamp_min(0) + SOFTNESS**2).reciprocal() ** 3
    return weight / (weight.sum(2, keepdim=True) + (REACH**2 + SOFTNESS**2) ** -3)


def grid_positions(size: int, device: torch.device | None = None) -> Tensor:
    """Return the centres of the cells of a square grid, (size², 2) in [-1, 1], x first, row by row."""
    line = (2 * torch.arange(size, device=device) + 1) / size - 1
    y, x = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([x, y], dim=-1).view(-1, 2)
