"""Raised brows keep their height: the skin of the lid unfolds below them.

The open head lifts the line of the brows' landmarks, and stretches what lies between this line and the lid. Brows of
people hang below the line, by their own height and more, and would be stretched, too.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from smirk3d.face import Face
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.landmark_indices import BROW_LEFT, BROW_RIGHT, EYE_LEFT, EYE_RIGHT
from smirk3d.head.memoize import cache_per_head
from smirk3d.head.model import HeadModel

ACTIONS = ("browInnerUp", "browOuterUpLeft", "browOuterUpRight")
CARRIED_M = 0.004
"""Height below the line within which skin moves with the brow."""
ABOVE_LID_M = 0.001
"""Height above the edge of the upper lid from which the skin unfolds."""
_LOWER_LINE = slice(0, 5)
_UPPER_LID = slice(9, 16)


def with_stiff_brows(face: Face) -> np.ndarray:
    """Return the vertices (V, 3) in metres of a face of the open head, whose raised brows are not stretched."""
    weights = [face.arkit[name] for name in ACTIONS]
    if not any(weights):
        return face.vertices
    moved = (torch.tensor(weights)[:, None, None] * _carried(face.head)).sum(0)
    return face.vertices + moved.numpy()


@cache_per_head
def _carried(head: HeadModel) -> Tensor:
    """Return by how much each raising action moves each vertex in addition, (3, V, 3) metres."""
    columns = [ARKIT_NAMES.index(name) for name in ACTIONS]
    moves = head.expressiondirs[..., columns].permute(2, 0, 1)
    embedding = head.landmark_embedding("mediapipe")
    points = embedding.points(head.v_template, head.faces)
    moves_of_points = torch.stack([embedding.points(each, head.faces) for each in moves])
    result = torch.zeros_like(moves)
    for brow, eye in ((BROW_LEFT, EYE_LEFT), (BROW_RIGHT, EYE_RIGHT)):
        line, lid = (_along_x(points, ring[part]) for ring, part in ((brow, _LOWER_LINE), (eye, _UPPER_LID)))
        share = _shares(head, points[line], points[lid])
        x = head.v_template[:, 0].numpy()
        for k, own in enumerate(moves_of_points):
            with_brow = np.stack([np.interp(x, points[line, 0], own[line, axis]) for axis in range(3)], axis=1)
            result[k] += share[:, None] * (torch.from_numpy(with_brow).float() - moves[k])
    return result


def _along_x(points: Tensor, landmarks: tuple[int, ...]) -> Tensor:
    """Return landmarks in the order of their x, (K,) int64."""
    index = torch.tensor(landmarks)
    return index[points[index, 0].argsort()]


def _shares(head: HeadModel, line: Tensor, lid: Tensor) -> Tensor:
    """Return how far each vertex moves with the brow above it, (V,) in [0, 1].

    Args:
        head: The head.
        line: (K, 3) landmarks of the lower line of a brow, in the order of their x.
        lid: (L, 3) landmarks of the edge of the upper lid, likewise.
    """
    x, y, z = head.v_template.numpy().T
    top, bottom = np.interp(x, line[:, 0], line[:, 1]), np.interp(x, lid[:, 0], lid[:, 1]) + ABOVE_LID_M
    end = np.minimum(top - bottom, 2.2 * CARRIED_M).clip(1e-4)
    start = np.minimum(CARRIED_M, 0.45 * end)
    fall = 1 - ((top - y - start) / (end - start)).clip(0, 1)
    beside = np.minimum(x - float(line[0, 0]), float(line[-1, 0]) - x)
    is_front = (z > float(line[:, 2].min()) - 0.03) & (y < top) & ~head.region_mask("eyeballs").numpy()
    share = fall * fall * (3 - 2 * fall) * (beside / 0.004 + 1).clip(0, 1) * is_front
    return torch.from_numpy(share).float()
