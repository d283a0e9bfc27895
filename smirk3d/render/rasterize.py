"""Rasterisation with a choice of backends, all with the same conventions.

Image space: x' right and y' down in [-1,1], smaller z nearer. The centre of column c is x' = (2c+1)/W - 1, rows
likewise. Back faces are drawn, an edge belongs to both of its triangles, and of equally near faces the first wins.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from smirk3d.render.fragments import Fragments, interpolate, recompute_barycentric

Backend = Literal["warp", "reference", "pytorch3d"]


def rasterize(
    vertices_ndc: Tensor,
    faces: Tensor,
    size: int | tuple[int, int],
    *,
    w: Tensor | None = None,
    backend: Backend = "warp",
) -> Fragments:
    """Return the face that every pixel shows.

    Faces without area, or with a corner that is not finite, are skipped. There is no near clipping; with `w`, faces
    with a corner at or behind the camera are skipped.

    Args:
        vertices_ndc: (B,V,3) float, image space. With `w`, x' and y' are already divided by the depth, and z
            is any affine function of the camera depth.
        faces: (F,3) int, vertex indices, shared by the batch.
        size: Side in pixels, or (height, width).
        w: (B,V) float, camera depth of a perspective image, > 0 in front; None for an orthographic image.
        backend: "warp" (CPU and CUDA, computes in float32), "reference" (plain torch, any dtype, slow) or
            "pytorch3d" (where that package is installed, computes in float32).

    Returns:
        Fragments of B images. Where the vertices require a gradient, `barycentric` and `depth` are
        differentiable in them for the visible faces.

    Raises:
        ValueError: Shapes do not fit, the size is not positive, a face index is out of range, or the backend is
            unknown.
        Smirk3dError: The backend is not installed.
    """
    height, width = (size, size) if isinstance(size, int) else size
    check_scene(vertices_ndc, faces, (height, width), w)
    check_faces(faces, vertices_ndc.shape[1])
    if backend == "warp":
        from smirk3d.render.backends.warp import rasterize_warp

        return rasterize_warp(vertices_ndc, faces, (height, width), w)
    if backend == "reference":
        from smirk3d.render.backends.reference import rasterize_reference as implementation
    elif backend == "pytorch3d":
        from smirk3d.render.backends.pytorch3d import rasterize_pytorch3d as implementation
    else:
        raise ValueError(f"unknown backend {backend!r}: choose 'warp', 'reference' or 'pytorch3d'")
    fragments = implementation(vertices_ndc, faces, (height, width), w)
    # The Warp backend has a backward pass of its own; the results of the others are detached.
    needs_grad = vertices_ndc.requires_grad or (w is not None and w.requires_grad)
    return _attach_gradient(fragments, vertices_ndc, faces, w) if needs_grad and torch.is_grad_enabled() else fragments


def _attach_gradient(fragments: Fragments, vertices_ndc: Tensor, faces: Tensor, w: Tensor | None) -> Fragments:
    """Return the same fragments with weights and depth as differentiable functions of the vertices."""
    fragments = replace(fragments, barycentric=recompute_barycentric(fragments, vertices_ndc, faces, w))
    # z is affine in the camera depth, so perspective-correct weights interpolate it exactly.
    depth = interpolate(fragments, vertices_ndc[..., 2:], faces)[..., 0]
    return replace(fragments, depth=depth.masked_fill(~fragments.mask, torch.inf))


def check_scene(vertices_ndc: Tensor, faces: Tensor, size: tuple[int, int], w: Tensor | None = None) -> None:
    """Check shapes and types for `rasterize`.

    Args:
        vertices_ndc: (B,V,3) float, see `rasterize`.
        faces: (F,3) int.
        size: Height and width in pixels.
        w: (B,V) float or None.

    Raises:
        ValueError: A shape or type does not fit, or the size is not positive.
    """
    if vertices_ndc.ndim != 3 or vertices_ndc.shape[-1] != 3 or not vertices_ndc.is_floating_point():
        raise ValueError(f"vertices_ndc must be float (B,V,3), got {vertices_ndc.dtype} {tuple(vertices_ndc.shape)}")
    if faces.ndim != 2 or faces.shape[-1] != 3 or faces.is_floating_point():
        raise ValueError(f"faces must be int (F,3), got {faces.dtype} {tuple(faces.shape)}")
    if w is not None and w.shape != vertices_ndc.shape[:2]:
        raise ValueError(f"w must be {tuple(vertices_ndc.shape[:2])} like the vertices, got {tuple(w.shape)}")
    if min(size) < 1:
        raise ValueError(f"the image must have at least one pixel, got height and width {size}")


def check_faces(faces: Tensor, vertex_count: int) -> None:
    """Check the vertex indices of faces; on a GPU this synchronises.

    Args:
        faces: (F,3) int.
        vertex_count: Number of vertices.

    Raises:
        ValueError: An index is out of range.
    """
    if faces.numel() == 0:
        return
    low, high = torch.aminmax(faces)
    if int(low) < 0 or int(high) >= vertex_count:
        raise ValueError(f"faces name vertices outside 0..{vertex_count - 1}")
