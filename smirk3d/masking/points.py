"""Random points on the part of a surface that an image shows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class SurfacePoints:
    """N points on each of B meshes, attached to triangles, so that they move with the skin.

    Attributes:
        face_index: (B,N) int64, row of the faces.
        barycentric: (B,N,3) float, weights of the triangle's corners, sum 1.
        valid: (B,N) bool, False for all points of a mesh that shows no triangle with a weight.
    """

    face_index: Tensor
    barycentric: Tensor
    valid: Tensor

    def positions(self, vertices: Tensor, faces: Tensor) -> Tensor:
        """Return where the points are.

        Args:
            vertices: (B,V,C) float.
            faces: (F,3) int64.

        Returns:
            (B,N,C) float.
        """
        return (self.corners(vertices, faces) * self.barycentric.to(vertices.dtype)[..., None]).sum(dim=2)

    def corners(self, vertices: Tensor, faces: Tensor) -> Tensor:
        """Return the corners of the points' triangles.

        Args:
            vertices: (B,V,C) float.
            faces: (F,3) int64.

        Returns:
            (B,N,3,C) float.
        """
        corner = faces[self.face_index].flatten(1)[..., None].expand(-1, -1, vertices.shape[-1])
        return vertices.gather(1, corner).unflatten(1, (-1, 3))


def signed_area(corners_ndc: Tensor) -> Tensor:
    """Return the signed areas of triangles in the image.

    Args:
        corners_ndc: (...,3,2) or (...,3,3) float, corners counter-clockwise seen from outside; x right, y down.

    Returns:
        (...) float, NDC squared: positive where the outside faces the camera, negative where the triangle is
        turned away.
    """
    a, b, c = corners_ndc[..., :2].unbind(dim=-2)
    ab, ac = b - a, c - a
    # y points down: what is counter-clockwise in the head frame is clockwise in these coordinates.
    return (ab[..., 1] * ac[..., 0] - ab[..., 0] * ac[..., 1]) / 2


def sample_surface_points(
    vertices_ndc: Tensor,
    faces: Tensor,
    face_weight: Tensor,
    count: int,
    generator: torch.Generator,
    visible: Tensor | None = None,
) -> SurfacePoints:
    """Draw points with a density proportional to the weight of their triangle, uniform over its image.

    Args:
        vertices_ndc: (B,V,3) float, image space.
        faces: (F,3) int64, counter-clockwise seen from outside.
        face_weight: (F,) float >= 0, density in the image.
        count: N, points per mesh, drawn with replacement.
        generator: On any device; the points depend on it, not on the device of the vertices.
        visible: (B,F) bool, triangles that may be drawn from; None for all that face the camera.

    Returns:
        SurfacePoints. Triangles turned away from the camera are never drawn; where nothing can be drawn, the points
        are invalid.

    Source: Retsinas et al. (CVPR 2024) for sampling on the mesh; barycentric weights (1 - √u,
    √u (1 - v), √u v) are uniform for uniform u and v (Osada et al., "Shape Distributions", 2002).
    """
    vertices_ndc = vertices_ndc.detach()
    corners = vertices_ndc.index_select(1, faces.flatten()).unflatten(1, (-1, 3))
    density = (signed_area(corners) * face_weight).double()
    drawable = density.isfinite() & (density > 0)
    if visible is not None:
        drawable = drawable & visible
    # Inverse transform sampling of the triangle, in double precision: float32 sums skip small triangles.
    cumulative = torch.where(drawable, density, 0.0).cumsum(dim=1)
    total = cumulative[:, -1:]
    shape = (len(vertices_ndc), count, 3)
    draw = torch.rand(shape, generator=generator, dtype=torch.float64, device=generator.device).to(density.device)
    # The product is below the total even after rounding; only where the total is 0 is there no triangle to find.
    face_index = torch.searchsorted(cumulative, draw[..., 0] * total, right=True).clamp(max=len(faces) - 1)
    root, share = draw[..., 1].sqrt(), draw[..., 2]
    barycentric = torch.stack([1 - root, root * (1 - share), root * share], dim=-1)
    return SurfacePoints(face_index, barycentric.to(vertices_ndc.dtype), (total > 0).expand(-1, count))


def point_pixels(points: SurfacePoints, vertices_ndc: Tensor, faces: Tensor, size: int | tuple[int, int]) -> Tensor:
    """Return the pixels that points fall on.

    Args:
        points: N points on each of B meshes.
        vertices_ndc: (B,V,3) float, image space.
        faces: (F,3) int64.
        size: Side in pixels, or (height, width).

    Returns:
        (B,N,2) int64, column and row: trunc(½ (1 + p) size), points outside the image moved to its border.
        Positions are interpolated linearly in the image, in perspective images too.
    """
    height, width = (size, size) if isinstance(size, int) else size
    sides = torch.tensor([width, height], device=vertices_ndc.device)
    position = points.positions(vertices_ndc.detach()[..., :2], faces)
    # Clamped before the conversion, which is undefined for values beyond int64.
    pixel = ((1 + position) / 2 * sides).clamp(min=torch.zeros_like(sides), max=sides - 1)
    return pixel.long()
