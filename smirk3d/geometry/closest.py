"""Closest points on triangle meshes."""

# The stubs of torch, NumPy and trimesh leave some types unknown; everything else is checked strictly.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

N_CANDIDATES = 48
"""Triangles per point among which the closest is sought."""
OPPOSITE_PENALTY_M = 1.0
"""Added to the distance of triangles that face the other way; larger than any head, so they are a last resort."""
MM_PER_M = 1000.0
"""Lengths are in millimetres where triangles are small: products of four of them meet trimesh's absolute tolerance."""


def closest_on_mesh(
    points: Tensor, vertices: Tensor, faces: Tensor, stretch: float = 1.0, normals: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Find the point of a mesh that is closest to each of N points.

    Only the triangles with the nearest centroids are considered, which is exact for meshes of even density.

    Args:
        points: (N, 3) float, metres.
        vertices: (V, 3) float, metres.
        faces: (F, 3) int64.
        stretch: Factor > 0 on distances along x, in the choice among the considered triangles; 1 is Euclidean.
        normals: (N, 3) float, of the surface that the points lie on; triangles that face the other way are avoided.

    Returns:
        (N,) int64, row in `faces`, and (N, 3) float32, barycentric coordinates with sum 1.

    Source: `trimesh.triangles.closest_point`, after Ericson, "Real-Time Collision Detection" (2004), section 5.1.5.
    """
    from trimesh.triangles import closest_point, points_to_barycentric

    corners = vertices[faces]
    near = torch.cdist(points, corners.mean(1)).topk(min(N_CANDIDATES, len(faces)), largest=False).indices
    # Barycentric coordinates are invariant under the stretch, an affine map.
    space = MM_PER_M * points.new_tensor([stretch, 1.0, 1.0])
    candidates = (corners[near] * space).flatten(0, 1).double().numpy()
    repeated = (points * space).repeat_interleave(near.shape[1], dim=0).double().numpy()
    closest = closest_point(candidates, repeated)
    distance = np.linalg.norm(closest - repeated, axis=1).reshape(len(points), -1) / MM_PER_M
    if normals is not None:
        face_normals = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        is_opposite = (face_normals[near] * normals[:, None]).sum(-1) < 0
        distance = distance + OPPOSITE_PENALTY_M * is_opposite.numpy()
    best = distance.argmin(axis=1) + np.arange(len(points)) * near.shape[1]
    # Rounding may leave a coordinate slightly below 0.
    barycentric = points_to_barycentric(candidates[best], closest[best]).clip(0, 1)
    barycentric /= barycentric.sum(axis=1, keepdims=True)
    return near.flatten()[torch.from_numpy(best)], torch.from_numpy(barycentric).float()
