"""What a rasteriser hands to shading: which face each pixel shows, and where on that face."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

BACKGROUND = -1
"""Face index of a pixel that shows no face."""


@dataclass(frozen=True)
class Fragments:
    """The visible surface of a batch of images, one face a pixel.

    Attributes:
        face_index: (B,H,W) int64, row of `faces` seen at the pixel centre, -1 in the background.
        barycentric: (B,H,W,3) float, weights of the face's three corners, sum 1; zeros in the background.
        depth: (B,H,W) float, z of the seen point, smaller is nearer; +inf in the background.
    """

    face_index: Tensor
    barycentric: Tensor
    depth: Tensor

    @property
    def mask(self) -> Tensor:
        """(B,H,W) bool, the pixels whose centre a face covers, whatever colour they get."""
        return self.face_index >= 0


def interpolate(fragments: Fragments, attributes: Tensor, faces: Tensor) -> Tensor:
    """Spread corner attributes over the visible surface.

    Args:
        fragments: The visible surface, B images.
        attributes: (B,V,C) or (V,C) float, one row a vertex; the latter is shared by the batch.
        faces: (F,3) int, rows of `attributes` for every rasterised face. It may differ from the rasterised faces
            (texture corners, for instance) as long as face k is the same triangle.

    Returns:
        (B,H,W,C) float, 0 in the background. Differentiable in the attributes and the barycentric weights.
    """
    batch, height, width = fragments.face_index.shape
    pixel, corner = _covered_corners(fragments.face_index, faces, attributes)
    weights = fragments.barycentric.reshape(-1, 3)[pixel].to(attributes.dtype)
    values = (weights[:, :, None] * _take_rows(attributes, corner)).sum(dim=1)
    channels = attributes.shape[-1]
    image = values.new_zeros(batch * height * width, channels).index_copy(0, pixel, values)
    return image.reshape(batch, height, width, channels)


def recompute_barycentric(
    fragments: Fragments, vertices_ndc: Tensor, faces: Tensor, w: Tensor | None = None
) -> Tensor:
    """Barycentric weights of the visible faces as a differentiable function of the vertices.

    The choice of the face is held fixed, so the gradient lives inside the visible surface and the silhouette has none.

    Args:
        fragments: The visible surface, B images.
        vertices_ndc: (B,V,3) float, x right and y down in [-1,1] over the image.
        faces: (F,3) int, the rasterised faces.
        w: (B,V) float camera depth for perspective-correct weights, or None for an orthographic image.

    Returns:
        (B,H,W,3) float in the dtype of the vertices, zeros in the background.

    Source: areas of the triangles that the pixel centre forms with the edges; with `w` each is divided by its
    corner's depth (Heckbert 1989, perspective-correct interpolation).
    """
    batch, height, width = fragments.face_index.shape
    pixel, corner = _covered_corners(fragments.face_index, faces, vertices_ndc)
    a, b, c = (_take_rows(vertices_ndc[..., :2], corner) - _pixel_centers(pixel, height, width, vertices_ndc)).unbind(1)
    areas = torch.stack([_cross2d(b, c), _cross2d(c, a), _cross2d(a, b)], dim=1)
    if w is not None:
        areas = areas / _take_rows(w[..., None], corner)[..., 0]
    weights = areas / areas.sum(dim=1, keepdim=True)
    return weights.new_zeros(batch * height * width, 3).index_copy(0, pixel, weights).reshape(batch, height, width, 3)


def _covered_corners(face_index: Tensor, faces: Tensor, attributes: Tensor) -> tuple[Tensor, Tensor]:
    """Flat indices (N,) of the covered pixels and (N,3) of their corners in the rows of (B·V,C) attributes."""
    flat = face_index.reshape(-1)
    pixel = (flat >= 0).nonzero()[:, 0]
    corner = faces.long().index_select(0, flat[pixel])
    if attributes.ndim == 3:
        pixels_per_image = face_index.shape[1] * face_index.shape[2]
        corner = corner + (pixel // pixels_per_image * attributes.shape[1])[:, None]
    return pixel, corner


def _take_rows(attributes: Tensor, index: Tensor) -> Tensor:
    """(N,3,C) rows of (V,C) or flattened (B,V,C) attributes; `embedding` has the fastest backward pass on a CPU."""
    return torch.nn.functional.embedding(index, attributes.reshape(-1, attributes.shape[-1]))


def _pixel_centers(pixel: Tensor, height: int, width: int, like: Tensor) -> Tensor:
    """(N,1,2) image positions x', y' in [-1,1] of flat pixel indices (N,)."""
    column, row = (pixel % width).to(like.dtype), (pixel // width % height).to(like.dtype)
    return torch.stack([(2 * column + 1) / width - 1, (2 * row + 1) / height - 1], dim=-1)[:, None]


def _cross2d(a: Tensor, b: Tensor) -> Tensor:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
