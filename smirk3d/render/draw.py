"""Anti-aliased drawings of meshes, for overlays and for synthetic photos."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from smirk3d.render.fragments import Fragments, interpolate
from smirk3d.render.rasterize import rasterize
from smirk3d.render.shading import SMIRK_LIGHTS, Lights, Specular, highlight, shade, vertex_normals


@dataclass(frozen=True)
class Texture:
    """An image wrapped around a mesh.

    Attributes:
        uv: (T,2) float in [0,1], u right, v up, (0,0) the lower left corner of the image; clamped outside.
        faces_uv: (F,3) int, rows of `uv` for the corners of each face.
        image: (3,Ht,Wt) float in [0,1], RGB, sampled bilinearly.
    """

    uv: Tensor
    faces_uv: Tensor
    image: Tensor


@dataclass(frozen=True)
class Drawing:
    """An anti-aliased image with premultiplied alpha.

    Attributes:
        image: (B,3,H,W) float in [0,1], RGB times alpha, 0 where nothing is drawn.
        alpha: (B,1,H,W) float in [0,1], covered fraction of the pixel.
    """

    image: Tensor
    alpha: Tensor

    def over(self, background: Tensor) -> Tensor:
        """Composite the drawing over a background.

        Args:
            background: (B,3,H,W) float in [0,1], or a shape that broadcasts to it.

        Returns:
            (B,3,H,W) float.

        Source: Porter and Duff, "Compositing Digital Images" (1984), operator "over" for premultiplied alpha.
        """
        return self.image + (1 - self.alpha) * background


def draw(  # noqa: PLR0913 - all but two are optional and keyword-only
    vertices_ndc: Tensor,
    faces: Tensor,
    *,
    size: int | tuple[int, int],
    colors: Tensor | None = None,
    face_colors: Tensor | None = None,
    texture: Texture | None = None,
    shading_vertices: Tensor | None = None,
    lights: Lights = SMIRK_LIGHTS,
    specular: Specular | None = None,
    w: Tensor | None = None,
    supersample: int = 2,
) -> Drawing:
    """Draw meshes with per-vertex, per-face or textured colours, white when none are given.

    Args:
        vertices_ndc: (B,V,3) float, image space, see `rasterize`.
        faces: (F,3) int.
        size: Side in pixels, or (height, width).
        colors: (V,3) or (B,V,3) float RGB in [0,1].
        face_colors: (F,3) float RGB in [0,1].
        texture: Texture with as many faces as `faces`.
        shading_vertices: (B,V,3) float, y up and z towards the viewer, from which normals are computed; None draws
            the colours unlit.
        lights: Lights in the frame of `shading_vertices`.
        specular: Highlight; None for a matte surface.
        w: (B,V) float, camera depth of a perspective image; None for an orthographic one.
        supersample: Samples per pixel and direction, at least 1; 2 or 3 give smooth edges.

    Returns:
        Drawing of B images, clamped to [0,1].

    Raises:
        ValueError: More than one of `colors`, `face_colors` and `texture` is given, or `rasterize` refuses the input.
    """
    if sum(source is not None for source in (colors, face_colors, texture)) > 1:
        raise ValueError("give one of colors, face_colors and texture")
    height, width = (size, size) if isinstance(size, int) else size
    fragments = rasterize(vertices_ndc, faces, (height * supersample, width * supersample), w=w)
    covered = fragments.mask[..., None].to(vertices_ndc.dtype)
    if colors is not None:
        color = interpolate(fragments, colors, faces)
    elif face_colors is not None:
        color = face_colors[fragments.face_index.clamp(min=0)]
    elif texture is not None:
        color = _sample_texture(fragments, texture)
    else:
        color = covered.expand(-1, -1, -1, 3)
    if shading_vertices is not None:
        color = _shade_pixels(fragments, color, vertex_normals(shading_vertices, faces), faces, (lights, specular))
    # Clamped before averaging: an overexposed sample must not brighten its pixel beyond white.
    image = (color * covered).clamp(0, 1).movedim(-1, 1)
    return Drawing(
        functional.avg_pool2d(image, supersample), functional.avg_pool2d(covered.movedim(-1, 1), supersample)
    )


def _sample_texture(fragments: Fragments, texture: Texture) -> Tensor:
    """Return the texture colours (B,H,W,3) of the visible surface."""
    uv = interpolate(fragments, texture.uv, texture.faces_uv)
    # Texture coordinates have v up and [0,1]; grid_sample expects y down and [-1,1].
    grid = uv * uv.new_tensor([2.0, -2.0]) + uv.new_tensor([-1.0, 1.0])
    image = texture.image.to(uv).expand(len(grid), -1, -1, -1)
    return functional.grid_sample(image, grid, padding_mode="border", align_corners=False).movedim(1, -1)


def _shade_pixels(
    fragments: Fragments, color: Tensor, normals: Tensor, faces: Tensor, lighting: tuple[Lights, Specular | None]
) -> Tensor:
    """Return colours (B,H,W,3) under Phong shading: normals (B,V,3) are interpolated, then normalised again."""
    lights, specular = lighting
    normal = functional.normalize(interpolate(fragments, normals, faces), dim=-1)
    lit = color * shade(normal, lights)[..., None]
    return lit if specular is None else lit + highlight(normal, lights, specular)[..., None]
