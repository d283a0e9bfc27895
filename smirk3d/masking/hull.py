"""Convex hulls of landmarks as masks, and dilation, for whole batches."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_TOLERANCE = 1e-12
"""Twice the area, over the squared extent of the points, above which a point is outside an edge."""


def face_hull_mask(landmarks_ndc: Tensor, size: int | tuple[int, int]) -> Tensor:
    """Return the pixels whose centres lie in the convex hull of the landmarks, its border included.

    Args:
        landmarks_ndc: (B,L,2) float, x right and y down in [-1,1] over the image; points may lie outside.
        size: Side in pixels, or (height, width).

    Returns:
        (B,1,H,W) bool.

    Raises:
        ValueError: The landmarks have another shape or are not finite.
    """
    height, width = (size, size) if isinstance(size, int) else size
    corner = convex_hull(landmarks_ndc)
    step = corner.roll(-1, dims=1) - corner
    x, y = _pixel_centers(width, corner), _pixel_centers(height, corner)
    # Each edge bounds every row of pixels on one side, so a hull with K corners costs O(K (H + W)) instead of
    # O(K H W). Horizontal edges bound no row (their x is infinite or NaN and masked out); the extent of the points
    # bounds the rows that they would.
    edge_x = corner[..., :1] + (y - corner[..., 1:]) / step[..., 1:] * step[..., :1]
    left = torch.where(step[..., 1:] < 0, edge_x, -torch.inf).amax(dim=1)
    right = torch.where(step[..., 1:] > 0, edge_x, torch.inf).amin(dim=1)
    low, high = landmarks_ndc.detach().double().aminmax(dim=1)
    left, right = torch.maximum(left, low[:, :1]), torch.minimum(right, high[:, :1])
    rows = (y >= low[:, 1:]) & (y <= high[:, 1:])
    inside = (x >= left[..., None]) & (x <= right[..., None]) & rows[..., None]
    return inside[:, None]


def convex_hull(points: Tensor) -> Tensor:
    """Return the corners of the convex hulls of B sets of points.

    Args:
        points: (B,L,2) float, L >= 1.

    Returns:
        (B,K,2) float64, corners in the order from +x to +y (clockwise where y points down). K is the number of
        corners of the largest hull; the others repeat their first corner at the end.

    Raises:
        ValueError: The points have another shape or are not finite.

    Source: Quickhull (Barber, Dobkin and Huhdanpaa, 1996) in the plane: the farthest outer point of every edge is
    added, for all edges at once, until no edge has one. The points outside an edge lie between its two ends on the
    hull, so all points may be tested against all edges, and the order of the corners is kept.
    """
    if points.ndim != 3 or points.shape[-1] != 2 or not points.shape[1]:
        raise ValueError(f"points must be (B,L,2), got {tuple(points.shape)}")
    if not points.isfinite().all():
        raise ValueError("points must be finite")
    points = points.detach().double()
    tolerance = _TOLERANCE * (points.amax(dim=1) - points.amin(dim=1)).amax(dim=-1, keepdim=True).square()
    # The extreme points along x are corners; they form the first, degenerate hull of two edges.
    ends = torch.stack([points[..., 0].argmax(dim=1), points[..., 0].argmin(dim=1)], dim=1)
    hull, real = _take(points, ends), torch.ones_like(ends, dtype=torch.bool)
    for _ in range(points.shape[1]):  # every round but the last adds a corner
        step = (hull.roll(-1, dims=1) - hull)[:, :, None]
        offset = points[:, None] - hull[:, :, None]
        outside, farthest = (step[..., 1] * offset[..., 0] - step[..., 0] * offset[..., 1]).max(dim=2)
        found = outside > tolerance
        if not found.any():
            break
        hull, real = _insert(hull, real, _take(points, farthest), found)
    return hull


def dilate(mask: Tensor, radius_px: int = 10) -> Tensor:
    """Dilate a mask by a square of 2 radius_px + 1 pixels a side.

    Args:
        mask: (B,1,H,W) bool.
        radius_px: Radius in pixels, >= 0.

    Returns:
        (B,1,H,W) bool.
    """
    grown = functional.pad(mask, (radius_px,) * 4)
    return _any_of(_any_of(grown, 2 * radius_px + 1, -1), 2 * radius_px + 1, -2)


def _any_of(mask: Tensor, count: int, dim: int) -> Tensor:
    """Return whether any of `count` consecutive entries is set, for each of the n - count + 1 starts along `dim`."""
    reach = 1
    while reach < count:  # doubling the reach takes log2(count) steps, much faster than pooling
        step = min(reach, count - reach)
        length = mask.shape[dim] - step
        mask = mask.narrow(dim, 0, length) | mask.narrow(dim, step, length)
        reach += step
    return mask


def _insert(hull: Tensor, real: Tensor, new: Tensor, found: Tensor) -> tuple[Tensor, Tensor]:
    """Insert `new` (B,K,2) after the corners where `found` (B,K), and remove the padding, which is not `real`."""
    corners = torch.stack([hull, new], dim=2).flatten(1, 2)
    kept = torch.stack([real, found], dim=2).flatten(1, 2)
    count = kept.sum(dim=1, keepdim=True)
    # A stable sort moves the kept corners of each hull to the front and keeps their order.
    order = (~kept).to(torch.uint8).argsort(dim=1, stable=True)[:, : int(count.max())]
    real = torch.arange(order.shape[1], device=order.device) < count
    return torch.where(real[..., None], _take(corners, order), corners[:, :1]), real


def _take(points: Tensor, index: Tensor) -> Tensor:
    """Return rows `index` (B,K) of `points` (B,L,2): (B,K,2)."""
    return points.gather(1, index[..., None].expand(-1, -1, points.shape[-1]))


def _pixel_centers(count: int, like: Tensor) -> Tensor:
    """Return the NDC of `count` pixel centres along one axis."""
    return (2 * torch.arange(count, dtype=like.dtype, device=like.device) + 1) / count - 1
