"""Where colours of the skin are read, and where they are written."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from smirk3d.masking.points import SurfacePoints, facing_area, point_pixels

DEPTH_TOLERANCE_NDC = 0.03
"""A point this much behind what its pixel shows still counts as seen.

It is 3 to 5 mm on a face that fills the crop: as much as a surface 78° from frontal recedes from the centre of
a pixel of 224 to its corner, and less than anything that hides a part of a face stands in front of it.
"""


@dataclass(frozen=True)
class MeshView:
    """Meshes as images show them.

    Attributes:
        vertices_ndc: (B,V,3) float, image space, smaller z nearer.
        depth: (B,1,H,W) float, z of what each pixel shows, +inf where it shows no mesh.
    """

    vertices_ndc: Tensor
    depth: Tensor

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.depth.shape[-2], self.depth.shape[-1]


@dataclass(frozen=True)
class PixelSamples:
    """Pixels, as column and row, whose colours are copied.

    Attributes:
        source_px: (B,N,2) int64, read here.
        target_px: (B,N,2) int64, written here.
        valid: (B,N) bool, False for samples that are not written.
    """

    source_px: Tensor
    target_px: Tensor
    valid: Tensor


def pixels_in_place(points: SurfacePoints, view: MeshView, faces: Tensor) -> PixelSamples:
    """Colours that stay where the photo shows them (first path); whether something hides the points is no matter."""
    pixels = point_pixels(points, view.vertices_ndc, faces, view.size)
    return PixelSamples(pixels, pixels, points.valid)


def moved_pixels(points: SurfacePoints, original: MeshView, changed: MeshView, faces: Tensor) -> PixelSamples:
    """Colours that move with the skin from the original to the changed mesh (cycle path).

    Points that either mesh hides are not written: hidden in the changed one they would paint over what is in
    front of them, hidden in the original one they would carry the colour of something else.

    Args:
        points: On the original meshes.
        original: The meshes as the photo shows them. changed: The same skin with another expression.
        faces: (F,3) int64.

    Returns:
        PixelSamples.
    """
    return PixelSamples(
        point_pixels(points, original.vertices_ndc, faces, original.size),
        point_pixels(points, changed.vertices_ndc, faces, changed.size),
        points.valid & visible_points(points, original, faces) & visible_points(points, changed, faces),
    )


def visible_points(points: SurfacePoints, view: MeshView, faces: Tensor) -> Tensor:
    """Tell which points an image shows.

    Args:
        points: B times N points. view: B meshes. faces: (F,3) int64.

    Returns:
        (B,N) bool: in the image, on a triangle that faces the camera, and no more than `DEPTH_TOLERANCE_NDC`
        behind what its pixel shows.
    """
    height, width = view.size
    vertices_ndc = view.vertices_ndc.detach()
    position = points.positions(vertices_ndc, faces)
    inside = (position[..., :2].abs() < 1).all(dim=-1)
    facing = facing_area(points.corners(vertices_ndc, faces)) > 0
    column, row = point_pixels(points, vertices_ndc, faces, (height, width)).unbind(dim=-1)
    nearest = view.depth.detach().flatten(1).gather(1, row * width + column)
    return inside & facing & (position[..., 2] <= nearest + DEPTH_TOLERANCE_NDC)
