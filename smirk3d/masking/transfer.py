"""Where colours of the skin are read from a photo, and where they are written."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from smirk3d.masking.points import SurfacePoints, point_pixels, signed_area

DEPTH_TOLERANCE_NDC = 0.03
"""A point this much behind the depth of its pixel still counts as visible.

It is 3 to 5 mm on a face that fills the crop: as much as a surface at 78° from frontal recedes between the centre and
the corner of a pixel at 224 pixels a side, and less than the distance of anything that occludes a part of a face.
"""


@dataclass(frozen=True)
class MeshView:
    """Meshes as images show them.

    Attributes:
        vertices_ndc: (B,V,3) float, image space, smaller z nearer.
        depth: (B,1,H,W) float, z of the surface at each pixel, +inf in the background.
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
        source_px: (B,N,2) int64, where colours are read.
        target_px: (B,N,2) int64, where they are written.
        valid: (B,N) bool, False for samples that are not written.
    """

    source_px: Tensor
    target_px: Tensor
    valid: Tensor


def in_place_samples(points: SurfacePoints, view: MeshView, faces: Tensor) -> PixelSamples:
    """Return samples that stay where the photo shows them (reconstruction path), occluded points included.

    Args:
        points: N points on each of B meshes.
        view: The B meshes in the photo.
        faces: (F,3) int64.

    Returns:
        PixelSamples of B times N pixels.
    """
    pixels = point_pixels(points, view.vertices_ndc, faces, view.size)
    return PixelSamples(pixels, pixels, points.valid)


def transferred_samples(points: SurfacePoints, original: MeshView, changed: MeshView, faces: Tensor) -> PixelSamples:
    """Return samples that move with the skin from the original to the changed mesh (cycle path).

    Points that either mesh hides are invalid: hidden in the changed mesh, they would overwrite what occludes them;
    hidden in the original one, they would carry the colour of the occluder.

    Args:
        points: N points on each of B meshes.
        original: The meshes in the photo.
        changed: The same meshes with another expression.
        faces: (F,3) int64.

    Returns:
        PixelSamples of B times N pixels.

    Source: Retsinas et al. (CVPR 2024), augmented expression cycle path.
    """
    return PixelSamples(
        point_pixels(points, original.vertices_ndc, faces, original.size),
        point_pixels(points, changed.vertices_ndc, faces, changed.size),
        points.valid & visible_points(points, original, faces) & visible_points(points, changed, faces),
    )


def visible_points(points: SurfacePoints, view: MeshView, faces: Tensor) -> Tensor:
    """Return which points are visible, by comparison with the depth image.

    Args:
        points: N points on each of B meshes.
        view: The B meshes in the image.
        faces: (F,3) int64.

    Returns:
        (B,N) bool: inside the image, on a triangle that faces the camera, and at most `DEPTH_TOLERANCE_NDC` behind
        the depth of the pixel.
    """
    height, width = view.size
    vertices_ndc = view.vertices_ndc.detach()
    position = points.positions(vertices_ndc, faces)
    inside = (position[..., :2].abs() < 1).all(dim=-1)
    facing = signed_area(points.corners(vertices_ndc, faces)) > 0
    # A depth test as in shadow mapping (Williams, 1978), at the pixel that contains the point.
    column, row = point_pixels(points, vertices_ndc, faces, (height, width)).unbind(dim=-1)
    nearest = view.depth.detach().flatten(1).gather(1, row * width + column)
    return inside & facing & (position[..., 2] <= nearest + DEPTH_TOLERANCE_NDC)
