"""The grey shaded mesh image that the neural renderer reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from smirk3d.geometry.camera import project_orthographic
from smirk3d.render.fragments import Fragments, interpolate_covered, to_image
from smirk3d.render.rasterize import Backend, check_faces, check_scene, rasterize
from smirk3d.render.shading import SMIRK_LIGHTS, shade, vertex_normals

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

    With "warp" rasterising, interpolating and lighting are one pass over the pixels; with the other backends, plain
    torch follows the rasteriser. Both give the same image.

    Args:
        head: Supplies the faces of a region, which are asked for once.
        size: Pixels a side.
        backend: Rasteriser, see `rasterize`.
    """

    def __init__(self, head: DrawableHead, size: int = 224, *, backend: Backend = "warp") -> None:
        self.head = head
        self.size = size
        self.backend: Backend = backend
        self._faces: dict[tuple[str, torch.device, int], Tensor] = {}

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
        projected = project_orthographic(vertices, camera)
        faces = self._region_faces(region, vertices)
        check_scene(projected, faces, (self.size, self.size))
        normals = vertex_normals(vertices, faces)
        fragments, shaded = (self._shade_fused if self.backend == "warp" else self._shade)(projected, normals, faces)
        return RenderOutput(
            image=shaded[:, 3:].expand(-1, 3, -1, -1),
            mask=fragments.mask[:, None],
            depth=fragments.depth[:, None],
            normals=shaded[:, :3],
            fragments=fragments,
        )

    def _region_faces(self, region: str, vertices: Tensor) -> Tensor:
        """(K,3) int64, the checked faces of a region on the device of the vertices."""
        key = (region, vertices.device, vertices.shape[-2])
        if key not in self._faces:
            faces = self.head.region_faces(region).to(vertices.device)
            check_faces(faces, vertices.shape[-2])
            self._faces[key] = faces
        return self._faces[key]

    def _shade(self, projected: Tensor, normals: Tensor, faces: Tensor) -> tuple[Fragments, Tensor]:
        """Fragments and (B,4,H,W), interpolated normals and grey, for projected vertices and normals (B,V,3)."""
        fragments = rasterize(projected, faces, self.size, backend=self.backend)
        return fragments, shade_fragments(fragments, normals, faces)

    def _shade_fused(self, projected: Tensor, normals: Tensor, faces: Tensor) -> tuple[Fragments, Tensor]:
        """The same by one kernel."""
        from smirk3d.render.backends.warp import shade_warp

        lights = SMIRK_LIGHTS
        radiance = ALBEDO / len(lights.intensity) * lights.intensity[:, None] * lights.directions
        return shade_warp(projected, faces, (self.size, self.size), normals, radiance.to(projected.device))


def shade_fragments(fragments: Fragments, normals: Tensor, faces: Tensor) -> Tensor:
    """Light a rasterised surface as the released networks were trained to see it.

    Args:
        fragments: The visible surface, B images.
        normals: (B,V,3) float, taken as they are. faces: (F,3) int, the rasterised faces.

    Returns:
        (B,4,H,W) float: interpolated normals, not made unit, and grey in [0,1]; 0 in the background.
    """
    pixel, seen = interpolate_covered(fragments, normals, faces)
    grey = ALBEDO * shade(seen, SMIRK_LIGHTS)
    return to_image(fragments, pixel, torch.cat([seen, grey[:, None]], dim=-1)).movedim(-1, 1)
