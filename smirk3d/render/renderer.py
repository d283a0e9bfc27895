"""The shaded grey rendering of a head, input of the neural renderer."""

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
    """The part of a head that the renderer needs."""

    @property
    def faces(self) -> Tensor:
        """(F,3) int64, vertex indices."""
        ...

    def region_faces(self, name: str) -> Tensor:
        """Return the faces (K,3) int64 of a named region; "face" and "head" exist."""
        ...


@dataclass(frozen=True)
class RenderOutput:
    """Renderings of a batch of heads.

    Attributes:
        image: (B,3,H,W) float in [0,1], shaded grey, 0 in the background.
        mask: (B,1,H,W) bool, pixels that the rendered region covers.
        depth: (B,1,H,W) float, z' of the image space, smaller is nearer, +inf in the background.
        normals: (B,3,H,W) float, interpolated normals in the frame of the vertices, 0 in the background.
        fragments: The visible faces; `face_index` counts within the rendered region.
    """

    image: Tensor
    mask: Tensor
    depth: Tensor
    normals: Tensor
    fragments: Fragments


class Renderer:
    """Renders heads under the scaled orthographic camera, differentiably inside the visible surface.

    With "warp", rasterisation, interpolation and shading are one pass over the pixels; the other backends interpolate
    and shade in torch. All give the same image.

    Args:
        head: Supplies the faces of regions, which are cached.
        size: S, side of the images in pixels.
        backend: Rasteriser, see `rasterize`.

    Source: Retsinas et al., "3D Facial Expressions through Analysis-by-Neural-Synthesis" (CVPR 2024); the lights and
    the grey are those of the released code.
    """

    def __init__(self, head: DrawableHead, size: int = 224, *, backend: Backend = "warp") -> None:
        self.head = head
        self.size = size
        self.backend: Backend = backend
        self._faces: dict[tuple[str, torch.device, int], Tensor] = {}

    def __call__(self, vertices: Tensor, camera: Tensor, region: str = "face") -> RenderOutput:
        """Render the heads.

        Args:
            vertices: (B,V,3) float, posed head, y up, z towards the viewer.
            camera: (B,3) float, scale, tx and ty, see `project_orthographic`.
            region: Which faces to render; "head" is all of them.

        Returns:
            RenderOutput of B images of S by S pixels, differentiable in vertices and camera inside the visible
            surface. The normals are those of the unprojected vertices and the rendered faces only, and are not
            normalised after interpolation, as in the images that the released networks were trained on.
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
        """Return the checked faces (K,3) int64 of a region on the device of the vertices."""
        # Checking faces synchronises a GPU, so it is done once for each region, device and vertex count.
        key = (region, vertices.device, vertices.shape[-2])
        if key not in self._faces:
            faces = self.head.region_faces(region).to(vertices.device)
            check_faces(faces, vertices.shape[-2])
            self._faces[key] = faces
        return self._faces[key]

    def _shade(self, projected: Tensor, normals: Tensor, faces: Tensor) -> tuple[Fragments, Tensor]:
        """Return fragments, and interpolated normals and grey (B,4,H,W), for projected vertices and normals (B,V,3)."""
        fragments = rasterize(projected, faces, self.size, backend=self.backend)
        return fragments, shade_fragments(fragments, normals, faces)

    def _shade_fused(self, projected: Tensor, normals: Tensor, faces: Tensor) -> tuple[Fragments, Tensor]:
        """Return the same as `_shade`, from one kernel."""
        from smirk3d.render.backends.warp import shade_warp

        lights = SMIRK_LIGHTS
        # Albedo, intensity and the mean over lights are constants and go into one vector per light.
        radiance = ALBEDO / len(lights.intensity) * lights.intensity[:, None] * lights.directions
        return shade_warp(projected, faces, (self.size, self.size), normals, radiance.to(projected.device))


def shade_fragments(fragments: Fragments, normals: Tensor, faces: Tensor) -> Tensor:
    """Shade a rasterised surface in grey, as in the images that the released networks were trained on.

    Args:
        fragments: The visible surface, B images.
        normals: (B,V,3) float, used as they are.
        faces: (F,3) int, the rasterised faces.

    Returns:
        (B,4,H,W) float: interpolated normals, not normalised, and grey in [0,1]; 0 in the background.
    """
    pixel, normal = interpolate_covered(fragments, normals, faces)
    grey = ALBEDO * shade(normal, SMIRK_LIGHTS)
    return to_image(fragments, pixel, torch.cat([normal, grey[:, None]], dim=-1)).movedim(-1, 1)
