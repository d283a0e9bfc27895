"""Rasteriser of PyTorch3D, an optional package, with the conventions of `rasterize`.

PyTorch3D's image space has +x left, +y up and +z away from the viewer. The shorter side of an image spans [-1,1], the
longer one proportionally more. Only points at z > 0 are drawn, and a pixel centre exactly on an edge is not covered.
With `perspective_correct`, z is the camera depth.

Source: documentation of `pytorch3d.renderer.mesh.rasterize_meshes`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from smirk3d.errors import Smirk3dError
from smirk3d.render.fragments import BACKGROUND, Fragments, interpolate, recompute_barycentric

_NEAREST_Z = 1.0
_CULLED_Z = -1.0


def rasterize_pytorch3d(
    vertices_ndc: Tensor, faces: Tensor, size: tuple[int, int], w: Tensor | None = None
) -> Fragments:
    """Rasterise with PyTorch3D on the device of the vertices; see `rasterize`.

    PyTorch3D determines the visible faces, in float32. Weights and depth are computed here from the given vertices,
    because PyTorch3D adds 1e-8 to the area of a face before it divides by it, which is wrong for small faces.

    Args:
        vertices_ndc: (B,V,3) float.
        faces: (F,3) int.
        size: Height and width in pixels.
        w: (B,V) float or None.

    Returns:
        Fragments in the dtype of the vertices, without a gradient.

    Raises:
        Smirk3dError: PyTorch3D is not installed.
    """
    vertices_ndc, faces, w = vertices_ndc.detach(), faces.long(), None if w is None else w.detach()
    if vertices_ndc.shape[0] == 0 or len(faces) == 0:
        face_index = torch.full((len(vertices_ndc), *size), BACKGROUND, device=vertices_ndc.device)
    else:
        face_index = _visible_faces(_to_pytorch3d(vertices_ndc, size, w), faces, size, w is not None)
    blank = vertices_ndc.new_zeros(*face_index.shape, 3)
    fragments = Fragments(face_index, blank, blank[..., 0])
    fragments = Fragments(face_index, recompute_barycentric(fragments, vertices_ndc, faces, w), blank[..., 0])
    depth = interpolate(fragments, vertices_ndc[..., 2:], faces)[..., 0]
    return Fragments(face_index, fragments.barycentric, depth.masked_fill(~fragments.mask, torch.inf))


def _to_pytorch3d(vertices_ndc: Tensor, size: tuple[int, int], w: Tensor | None) -> Tensor:
    """Return positions (B,V,3) float32 in PyTorch3D's image space; vertices not to be drawn are behind the viewer."""
    height, width = size
    shorter = min(size)
    x = vertices_ndc[..., 0] * (-width / shorter)
    y = vertices_ndc[..., 1] * (-height / shorter)
    if w is None:
        depth = vertices_ndc[..., 2]
        finite = torch.where(vertices_ndc.isfinite().all(dim=-1), depth, torch.inf)
        z = depth - finite.amin(dim=1, keepdim=True) + _NEAREST_Z
    else:
        z = w
    points = torch.stack([x, y, z], dim=-1).float()
    drawable = points.isfinite().all(dim=-1, keepdim=True)
    return torch.where(drawable, points, points.new_tensor([0.0, 0.0, _CULLED_Z]))


def _visible_faces(points: Tensor, faces: Tensor, size: tuple[int, int], perspective: bool) -> Tensor:
    """Return the visible face (B,H,W) int64 at each pixel centre, -1 in the background."""
    try:
        from pytorch3d.renderer.mesh import rasterize_meshes  # pyright: ignore[reportMissingImports]
        from pytorch3d.structures import Meshes  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise Smirk3dError(
            "backend 'pytorch3d' needs the package pytorch3d, built for the PyTorch installed (see pytorch3d.org): "
            "install it, or use backend='warp'"
        ) from error
    batch = len(points)
    pix_to_face = rasterize_meshes(
        Meshes(verts=points, faces=faces.expand(batch, -1, -1)),
        image_size=size,
        blur_radius=0.0,
        faces_per_pixel=1,
        perspective_correct=perspective,
    )[0][..., 0]
    # PyTorch3D numbers faces through the whole batch.
    first = torch.arange(batch, device=points.device)[:, None, None] * len(faces)
    return torch.where(pix_to_face < 0, BACKGROUND, pix_to_face - first)
