"""Parts of the head that a photo shows differently, and how much of each triangle a photo shows."""

from __future__ import annotations

import torch
from torch import Tensor

from smirk3d.head.landmark_indices import OUTER_EYE_CORNERS
from smirk3d.head.memoize import cache_per_head
from smirk3d.head.model import HeadModel
from smirk3d.render.photo_warp.placed_mesh import PlacedMesh

AROUND, FACE, EYE, MOUTH = range(4)
_LIPS = (13, 14)
_OPEN_GAP = 0.25
"""Gap of the lips, over the distance of the outer eye corners, from which the mouth is fully lit."""
EYE_LIGHT = 0.75
"""Brows and lids keep light from the eyeballs."""


@cache_per_head
def part_of_triangles(head: HeadModel) -> Tensor:
    """Return the part of each triangle, (F,) int64: `AROUND`, `FACE`, `EYE` or `MOUTH`."""
    part = torch.full((len(head.faces),), AROUND)
    regions = {FACE: ("face", "lips", "eye_sockets", "eye_regions"), MOUTH: ("mouth_interior",), EYE: ("eyeballs",)}
    for number, names in regions.items():
        for name in names:
            part[head.region_mask(name)[head.faces].all(1)] = number
    return part


def openness(mesh: PlacedMesh, part: Tensor) -> Tensor:
    """Return factors (N,) on the colours of parts (N,): little light falls between lips that are hardly open."""
    points = mesh.landmarks_ndc
    gap, eyes = (points[list(pair)].diff(dim=0).norm() for pair in (_LIPS, OUTER_EYE_CORNERS))
    mouth = 0.9 * (gap / eyes / _OPEN_GAP).clamp(0.1, 1).sqrt()
    return torch.where(part == MOUTH, mouth, torch.where(part == EYE, EYE_LIGHT, 1.0))


def stretch_of_triangles(head: HeadModel, fitted: PlacedMesh, changed: PlacedMesh) -> Tensor:
    """Return the area of each triangle in the photo over that in the changed picture, (F,)."""
    before, after = (_areas(mesh.ndc[:, :2], head.faces) for mesh in (fitted, changed))
    return before / after.clamp_min(1e-9)


def _areas(points: Tensor, faces: Tensor) -> Tensor:
    """Return the areas (F,) of triangles of points (V, 2)."""
    a, b, c = points[faces].unbind(1)
    (u, v), (s, t) = (b - a).unbind(1), (c - a).unbind(1)
    return (u * t - v * s).abs() / 2
