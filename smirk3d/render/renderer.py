"""The grey shaded mesh image that the neural renderer reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from smirk3d.geometry.camera import project_orthographic
from smirk3d.render.fragments import Fragments, interpolate_covered, to_image
from smirk3d.render.rasterize import Backend, rasterize
from smirk3d.render.shading import METHOD_LIGHTS, shade, vertex_normals

ALBEDO = 180 / 255
"""Grey of the skin, in [0,1]."""


class DrawableHead(Protocol):
    """What the renderer needs of a head."""

    @property
    def faces(self) -> Tensor:
        """(F,3) int64, vertex indices."""
        ...

    def region_faces(self, name: str) -> Tensor:
        """(K,3) int64, the faces of a named region; "face" and "head" exist."""
        ...


@dataclass(frozen=True)
class RenderOutput:
    """Images of a batch of heads.

    Attributes:
        image: (B,3,H,W) float in [0,1], shaded grey, 0 in the background.
        mask: (B,1,H,W) bool, the pixels that the drawn region covers.
        depth: (B,1,H,W) float, z' of the image space, smaller is nearer, +inf in the background.
        normals: (B,3,H,W) float, interpolated normals in the frame of the vertices, 0 in the background.
        fragments: The visible faces; `face_index` counts within the drawn region.
    """

    image: Tensor
    mask: Tensor
    depth: Tensor
    normals: Tensor
    fragments: Fragments


class Renderer:
    """Draws heads under the scaled orthographic camera, differentiably inside the visible surface.

    Args:
        head: Supplies the faces of a region.
        size: Pixels a side.
        backend: Rasteriser, see `rasterize`.
    """

    def __init__(self, head: DrawableHead, size: int = 224, *, backend: Backend = "warp") -> None:
        self.head = head
        self.size = size
        self.backend: Backend = backend

    def __call__(self, vertices: Tensor, camera: Tensor, region: str = "face") -> RenderOutput:
        """Draw the heads.

        Args:
            vertices: (B,V,3) float, posed head, y up, z towards the viewer.
            camera: (B,3) float, scale, tx, ty, see `project_orthographic`.
            region: Which faces to draw; "head" is all of them.

        Returns:
            RenderOutput, differentiable in vertices and camera inside the visible surface. The normals are
            those of the untransformed vertices and the drawn faces only, and are not made unit after
            interpolation: the released networks were trained on such images.
        """
        faces = self.head.region_faces(region).to(vertices.device)
        projected = project_orthographic(vertices, camera)
        fragments = rasterize(projected, faces, self.size, backend=self.backend)
        pixel, normals = interpolate_covered(fragments, vertex_normals(vertices, faces), faces)
        grey = ALBEDO * shade(normals, METHOD_LIGHTS)
        shaded = to_image(fragments, pixel, torch.cat([normals, grey[:, None]], dim=-1)).movedim(-1, 1)
        return RenderOutput(
            image=shaded[:, 3:].expand(-1, 3, -1, -1),
            mask=fragments.mask[:, None],
            depth=fragments.depth[:, None],
            normals=shaded[:, :3],
            fragments=fragments,
        )
