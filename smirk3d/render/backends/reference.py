"""Rasteriser in plain torch: slow and simple, the reference for tests of the fast ones.

For a chunk of faces at a time it solves p = a + u (b - a) + v (c - a) at every pixel centre p by Cramer's rule. A
point is in the triangle if u, v and 1 - u - v are not negative.
"""

from __future__ import annotations

import torch
from torch import Tensor

from smirk3d.render.fragments import BACKGROUND, Fragments

_FACES_PER_CHUNK = 64


def rasterize_reference(
    vertices_ndc: Tensor, faces: Tensor, size: tuple[int, int], w: Tensor | None = None
) -> Fragments:
    """Rasterise in the dtype of the vertices by testing all faces against all pixels; see `rasterize`.

    Args:
        vertices_ndc: (B,V,3) float.
        faces: (F,3) int.
        size: Height and width in pixels.
        w: (B,V) float or None.

    Returns:
        Fragments in the dtype of the vertices, without a gradient.
    """
    images = [
        _rasterize_one(vertices_ndc[image].detach(), faces.long(), size, None if w is None else w[image].detach())
        for image in range(len(vertices_ndc))
    ]
    if not images:
        empty = vertices_ndc.new_zeros(0, *size)
        return Fragments(empty.long(), empty[..., None].expand(-1, -1, -1, 3), empty)
    fields = (torch.stack(field) for field in zip(*images, strict=True))
    return Fragments(*fields)


def _rasterize_one(
    vertices: Tensor, faces: Tensor, size: tuple[int, int], w: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return face index (H,W), barycentric weights (H,W,3) and depth (H,W) of one image."""
    height, width = size
    best_depth = vertices.new_full(size, torch.inf)
    best_face = torch.full(size, BACKGROUND, dtype=torch.int64, device=vertices.device)
    best_weights = vertices.new_zeros(height, width, 3)
    w = torch.ones_like(vertices[:, 0]) if w is None else w
    points = _pixel_centers(height, width, vertices)
    for start in range(0, len(faces), _FACES_PER_CHUNK):
        chunk = faces[start : start + _FACES_PER_CHUNK]
        weights, inside = _solve(points, vertices[chunk], w[chunk])
        depth = (weights * vertices[chunk][:, None, None, :, 2]).sum(dim=-1)
        nearest = torch.where(inside, depth, torch.inf).min(dim=0)
        # min() may return any of several equal faces; the convention is the first one.
        face = ((depth == nearest.values) & inside).to(torch.uint8).argmax(dim=0)
        nearer = inside.any(dim=0) & (nearest.values < best_depth)
        chosen = weights.gather(0, face[None, :, :, None].expand(1, -1, -1, 3))[0]
        best_depth = torch.where(nearer, nearest.values, best_depth)
        best_face = torch.where(nearer, face + start, best_face)
        best_weights = torch.where(nearer[..., None], chosen, best_weights)
    return best_face, best_weights, best_depth


def _solve(points: Tensor, corners: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    """Return weights (K,H,W,3) and coverage (K,H,W) of pixel centres (H,W,2) in triangles (K,3,3), depths w (K,3)."""
    a, b, c = (corner[:, None, None, :2] for corner in corners.unbind(dim=1))
    ab, ac, ap = b - a, c - a, points - a
    determinant = ab[..., 0] * ac[..., 1] - ab[..., 1] * ac[..., 0]
    u = (ap[..., 0] * ac[..., 1] - ap[..., 1] * ac[..., 0]) / determinant
    v = (ab[..., 0] * ap[..., 1] - ab[..., 1] * ap[..., 0]) / determinant
    screen = torch.stack([1 - u - v, u, v], dim=-1)
    drawable = determinant.isfinite() & (determinant != 0) & (w > 0).all(dim=-1)[:, None, None]
    inside = (screen >= 0).all(dim=-1) & drawable
    # Perspective-correct weights: linear in 1 / w, then normalised (Heckbert, 1989).
    perspective = screen / w[:, None, None]
    return perspective / perspective.sum(dim=-1, keepdim=True), inside


def _pixel_centers(height: int, width: int, like: Tensor) -> Tensor:
    """Return the NDC (H,W,2) of all pixel centres."""
    rows = (2 * torch.arange(height, dtype=like.dtype, device=like.device) + 1) / height - 1
    columns = (2 * torch.arange(width, dtype=like.dtype, device=like.device) + 1) / width - 1
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([x, y], dim=-1)
