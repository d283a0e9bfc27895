"""Fragments, the output of rasterisation: which face each pixel shows, and where on that face."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

BACKGROUND = -1
"""Face index of pixels that show no face."""


@dataclass(frozen=True)
class Fragments:
    """The visible surface of a batch of images, one face per pixel.

    Attributes:
        face_index: (B,H,W) int64, row of `faces` at the pixel centre, -1 in the background.
        barycentric: (B,H,W,3) float, weights of the face's three corners, sum 1; zeros in the background.
        depth: (B,H,W) float, z of the visible point, smaller is nearer; +inf in the background.
    """

    face_index: Tensor
    barycentric: Tensor
    depth: Tensor

    @property
    def mask(self) -> Tensor:
        """(B,H,W) bool, whether a face covers the pixel centre."""
        return self.face_index >= 0


def interpolate(fragments: Fragments, attributes: Tensor, faces: Tensor) -> Tensor:
    """Interpolate vertex attributes over the visible surface.

    Args:
        fragments: The visible surface, B images.
        attributes: (B,V,C) or (V,C) float, one row per vertex; the latter is shared by the batch.
        faces: (F,3) int, rows of `attributes` for every rasterised face. They may differ from the rasterised faces
            (texture corners, for instance) as long as face k is the same triangle.

    Returns:
        (B,H,W,C) float, 0 in the background. Differentiable in the attributes and the barycentric weights.
    """
    pixel, values = interpolate_covered(fragments, attributes, faces)
    return to_image(fragments, pixel, values)


def interpolate_covered(fragments: Fragments, attributes: Tensor, faces: Tensor) -> tuple[Tensor, Tensor]:
    """Interpolate for the N covered pixels only, to process them before they become an image; see `interpolate`.

    Args:
        fragments: The visible surface, B images.
        attributes: (B,V,C) or (V,C) float.
        faces: (F,3) int.

    Returns:
        (N,) int64, covered pixels as indices into the flattened (B,H,W), and (N,C) float, their attributes.
    """
    pixel, corners = _covered_corners(fragments.face_index, attributes, faces)
    weights = fragments.barycentric.to(attributes.dtype).reshape(-1, 3).index_select(0, pixel)
    return pixel, _weighted_sum(weights, corners)


def to_image(fragments: Fragments, pixel: Tensor, values: Tensor) -> Tensor:
    """Scatter values of covered pixels to an image.

    Args:
        fragments: The visible surface, B images.
        pixel: (N,) int64, flat indices, see `interpolate_covered`.
        values: (N,C) float.

    Returns:
        (B,H,W,C) float, 0 elsewhere.
    """
    shape = fragments.face_index.shape
    image = values.new_zeros(shape.numel(), values.shape[-1]).index_copy_(0, pixel, values)
    return image.reshape(*shape, values.shape[-1])


def recompute_barycentric(fragments: Fragments, vertices_ndc: Tensor, faces: Tensor, w: Tensor | None = None) -> Tensor:
    """Return the barycentric weights of the visible faces as a differentiable function of the vertices.

    The visible face of each pixel is held fixed, so gradients exist inside the surface, but not at its outline.

    Args:
        fragments: The visible surface, B images.
        vertices_ndc: (B,V,3) float, x right and y down in [-1,1] over the image.
        faces: (F,3) int, the rasterised faces.
        w: (B,V) float camera depth for perspective-correct weights, or None for an orthographic image.

    Returns:
        (B,H,W,3) float in the dtype of the vertices, zeros in the background.

    Source: areas of the triangles that the pixel centre forms with the edges; with `w` each is divided by the depth of
    its corner (Heckbert, "Fundamentals of Texture Mapping and Image Warping", 1989, perspective-correct interpolation).
    """
    _, height, width = fragments.face_index.shape
    # x, y and w travel together, so that the corners are gathered once.
    drawn = vertices_ndc[..., :2] if w is None else torch.cat([vertices_ndc[..., :2], w[..., None]], dim=-1)
    pixel, corners = _covered_corners(fragments.face_index, drawn, faces)
    a, b, c = (corners[..., :2] - _pixel_centers(pixel, height, width, vertices_ndc)).unbind(dim=1)
    # Weight of a corner: area of the triangle between the pixel centre and the opposite edge.
    areas = torch.stack([_cross2d(b, c), _cross2d(c, a), _cross2d(a, b)], dim=1)
    if w is not None:
        areas = areas / corners[..., 2]
    return to_image(fragments, pixel, areas / areas.sum(dim=1, keepdim=True))


def _weighted_sum(weights: Tensor, corners: Tensor) -> Tensor:
    """Return the combinations (N,C) of corners (N,3,C) by weights (N,3)."""
    # Written out, because a batched matrix product of this shape is slower.
    first, second, third = weights[..., None].unbind(dim=1)
    return first * corners[:, 0] + second * corners[:, 1] + third * corners[:, 2]


def _covered_corners(face_index: Tensor, attributes: Tensor, faces: Tensor) -> tuple[Tensor, Tensor]:
    """Return the flat indices (N,) of the covered pixels and the attributes (N,3,C) of the corners of their faces."""
    # Gathering corners of all faces, then faces of pixels, is several times faster than attributes[faces[face]].
    channels, face_count = attributes.shape[-1], len(faces)
    flat = face_index.reshape(-1)
    pixel = (flat >= 0).nonzero()[:, 0]
    # Rows are numbered through the whole batch, image by image, for attributes that differ between images.
    face, corner = flat.index_select(0, pixel), faces.long()
    if attributes.ndim == 3:
        batch, vertex_count, _ = attributes.shape
        image = torch.arange(batch, device=face.device)
        corner = corner + (image * vertex_count)[:, None, None]
        face = face + pixel // (face_index.shape[1] * face_index.shape[2]) * face_count if batch > 1 else face
    per_face = attributes.reshape(-1, channels).index_select(0, corner.reshape(-1)).reshape(-1, 3 * channels)
    return pixel, per_face.index_select(0, face).reshape(-1, 3, channels)


def _pixel_centers(pixel: Tensor, height: int, width: int, like: Tensor) -> Tensor:
    """Return the NDC (N,1,2) of the centres of flat pixel indices (N,)."""
    column, row = (pixel % width).to(like.dtype), (pixel // width % height).to(like.dtype)
    return torch.stack([(2 * column + 1) / width - 1, (2 * row + 1) / height - 1], dim=-1)[:, None]


def _cross2d(a: Tensor, b: Tensor) -> Tensor:
    """Return the z component of the cross product of vectors (...,2): twice a signed area."""
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
