"""Closest points on triangle meshes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

CANDIDATES = 48
"""Triangles per point among which the closest is sought."""
OPPOSITE_PENALTY_M = 1.0
"""Added to the distance of surface that faces the other way: it is taken only where there is no other."""


def closest_on_mesh(
    points: Tensor, vertices: Tensor, faces: Tensor, stretch: float = 1.0, normals: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the row in `faces` (N,) and the barycentric coordinates (N, 3) of the surface point closest to each.

    Only the triangles with the nearest centres are looked at, which is exact for meshes of even fineness.

    Args:
        points: (N, 3) metres. vertices: (V, 3) metres. faces: (F, 3) int64.
        stretch: how many times distances along x count when the closest of the triangles looked at is chosen.
        normals: (N, 3) of the surface that the points lie on; triangles that face the other way are avoided.
    """
    from trimesh.triangles import closest_point, points_to_barycentric

    corners = vertices[faces]
    near = torch.cdist(points, corners.mean(1)).topk(min(CANDIDATES, len(faces)), largest=False).indices
    # Barycentric coordinates do not change under the stretch.
    space = points.new_tensor([stretch, 1.0, 1.0])
    candidates = (corners[near] * space).flatten(0, 1).double().numpy()
    repeated = (points * space).repeat_interleave(near.shape[1], dim=0).double().numpy()
    closest = closest_point(candidates, repeated)
    distance = np.linalg.norm(closest - repeated, axis=1).reshape(len(points), -1)
    if normals is not None:
        facing = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        opposite = (facing[near] * normals[:, None]).sum(-1) < 0
        distance = distance + OPPOSITE_PENALTY_M * opposite.numpy()
    best = distance.argmin(axis=1) + np.arange(len(points)) * near.shape[1]
    barycentric = points_to_barycentric(candidates[best], closest[best]).clip(0, 1)
    barycentric /= barycentric.sum(axis=1, keepdims=True)
    return near.flatten()[torch.from_numpy(best)], torch.from_numpy(barycentric).float()
