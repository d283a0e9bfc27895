"""Closing lids: skin where the photo of an open eye shows lashes and a fold, and a line of lashes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from smirk3d.head.landmark_indices import EYE_LEFT, EYE_RIGHT
from smirk3d.head.memoize import cache_per_head
from smirk3d.head.model import HeadModel
from smirk3d.render.photo_warp.image_fields import blur, rise
from smirk3d.render.photo_warp.mesh_parts import EYE, FACE
from smirk3d.render.photo_warp.placed_mesh import PlacedMesh

CLOSED_GAP = (0.06, 0.16)
"""Gap of the lids over the width of the eye at which an eye is closed, and from which it counts as open."""
CLOSING = (0.10, 0.60)
"""Share by which lids come nearer to each other at which skin of the model begins to replace that of the photo."""
LINE_WIDTH = 0.06
"""Width of the line of lashes over the width of the eye."""
LINE_OPACITY = 0.85
LASHES_M = (0.006, 0.012)
"""Distances from the edge of the upper lid within which the photo of an open eye shows lashes and the fold."""
RIM_M = (0.0018, 0.0040)
"""Distances from the edge of the lower lid within which the photo may show the eyeball."""
LID_OPACITY = 0.9
BESIDE_PX = 3.0
"""Standard deviation of what counts as beside a slit, samples."""


@dataclass(frozen=True)
class LidChange:
    """How far the lids of the right and the left eye come together.

    Attributes:
        closing: (2,) in [0, 1], how much less open the eyes are than in the photo.
        closed: (2,) in [0, 1], how nearly closed they are, 0 where they are so in the photo.
    """

    closing: tuple[float, float]
    closed: tuple[float, float]

    @staticmethod
    def between(fitted: PlacedMesh, changed: PlacedMesh) -> LidChange:
        """Compare the mesh of the photo and the changed one."""
        closing, closed = [], []
        for ring in (EYE_RIGHT, EYE_LEFT):
            before, after = (_gap(mesh, ring) for mesh in (fitted, changed))
            less = (before - after) / max(before, 1e-3)
            closing.append(_rise(less, CLOSING))
            closed.append((1 - _rise(after, CLOSED_GAP)) * _rise(less, CLOSING))
        return LidChange((closing[0], closing[1]), (closed[0], closed[1]))


def lid_weights(head: HeadModel, change: LidChange) -> Tensor:
    """Return by how much the model's skin replaces the photo at each vertex, (V,) in [0, 1].

    Between lids that nearly meet, what remains of the eyeballs is replaced, too.
    """
    is_right = head.v_template[:, 0] < 0
    closing, closed = (torch.where(is_right, right, left) for right, left in (change.closing, change.closed))
    return torch.where(head.region_mask("eyeballs"), closed, LID_OPACITY * closing * _lid_vertices(head))


def skin_between_lids(fill: Tensor, lid: Tensor, part: Tensor) -> Tensor:
    """Return colours (3, S, S) in which slits between lids that nearly meet have the colour of the skin beside them.

    Args:
        fill: (3, S, S) colours.
        lid: (S, S) `lid_weights` of the pixels.
        part: (S, S) their parts.
    """
    slit = lid * (part == EYE)
    if not bool((slit > 0).any()):
        return fill
    skin, sigma = (part == FACE).float(), BESIDE_PX / len(part)
    beside = blur(fill * skin, sigma) / blur(skin, sigma).clamp_min(1e-3)
    return fill + slit * (beside - fill)


def lash_line(change: LidChange, changed: PlacedMesh, size: int, blur_px: float = 0.0) -> Tensor:
    """Return the opacity (S, S) of the lines of lashes of closed eyes.

    Args:
        change: How far the lids come together.
        changed: The changed mesh.
        size: S.
        blur_px: Blur of the photo, standard deviation in pixels.
    """
    import cv2

    total = np.zeros((size, size), np.float32)
    for ring, closed in zip((EYE_RIGHT, EYE_LEFT), change.closed):
        if closed <= 0:
            continue
        points = (changed.landmarks_ndc[list(ring)].numpy() + 1) * (size / 2)
        upper, lower = points[[*range(8, 16), 0]], points[8::-1]
        middle = (0.35 * upper + 0.65 * lower)[1:-1]  # the line fades out before the corners
        width = LINE_WIDTH * float(np.linalg.norm(points[0] - points[8]))
        drawn = np.zeros((size, size), np.uint8)
        fixed = np.round((middle - 0.5) * 16).astype(np.int32).reshape(-1, 1, 2)
        cv2.polylines(drawn, [fixed], False, 255, max(1, round(0.6 * width)), cv2.LINE_AA, 4)
        line = cv2.GaussianBlur(drawn.astype(np.float32) / 255, (0, 0), max(0.35 * width, 0.8 * blur_px, 0.5))
        total = np.maximum(total, closed * np.minimum(line * 1.3, 1))
    return LINE_OPACITY * torch.from_numpy(total)


def _gap(mesh: PlacedMesh, ring: tuple[int, ...]) -> float:
    """Return the opening of an eye over its width."""
    points = mesh.landmarks_ndc[list(ring)]
    height = (points[[3, 4, 5]] - points[[13, 12, 11]]).norm(dim=1).mean()
    return float(height / (points[0] - points[8]).norm().clamp_min(1e-6))


def _rise(value: float, limits: tuple[float, float]) -> float:
    return float(np.clip((value - limits[0]) / (limits[1] - limits[0]), 0, 1))


@cache_per_head
def _lid_vertices(head: HeadModel) -> Tensor:
    """Return which vertices are of upper lids and their lashes, or of the rim of lower lids, (V,) in [0, 1]."""
    points = head.v_template
    skin, inner = head.region_mask("face"), head.region_mask("eye_sockets")
    edge = points[skin & inner]
    distance, nearest = torch.cdist(points, edge).min(dim=1)
    heights = [edge[edge[:, 0] * side > 0][:, 1].mean() for side in (-1.0, 1.0)]
    height = torch.where(points[:, 0] < 0, heights[0], heights[1])
    is_upper = edge[nearest, 1] > height
    weight = 1 - torch.where(is_upper, rise(distance, LASHES_M), rise(distance, RIM_M))
    # Below the lower edge and beside the corners the skin stays that of the photo.
    above = torch.where(is_upper & (points[:, 1] < edge[nearest, 1] - 0.001), 0.0, weight)
    return torch.where(skin | inner, above, 0.0)
