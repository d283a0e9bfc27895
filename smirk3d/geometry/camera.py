"""Cameras: from the head frame to image pixels.

Camera frame: +X right in the image, +Y up, +Z towards the viewer; a perspective camera sits at its origin,
so what it sees has negative Z. Pixels: origin at the top-left corner of the top-left pixel, x right, y down.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

DEFAULT_FIELD_OF_VIEW_DEG = 50.0
"""Assumed field of view across the long side of a photo of unknown lens, about that of a phone."""

LEAST_DISTANCE_M = 0.6
"""People are seldom photographed from nearer than this, selfies at 0.3 to 0.6 m aside."""


@dataclass(frozen=True)
class Camera:
    """The pose of one head and the camera that sees it.

    `X_camera = rotation_rotmat @ X_head + translation_m`; then, with a focal length,
    `u = cx + f x / -z`, `v = cy - f y / -z`, and without one (scaled orthographic)
    `u = cx + s x`, `v = cy - s y`.

    Attributes:
        rotation_rotmat: (3, 3) float64. translation_m: (3,) metres; its z is 0 for orthographic cameras.
        center_px: (2,) principal point in pixels.
        scale_px_per_m: s, pixels per metre (orthographic), or f / distance of the head's origin.
        focal_px: f in pixels, or None for a scaled orthographic camera.
    """

    rotation_rotmat: np.ndarray
    translation_m: np.ndarray
    center_px: np.ndarray
    scale_px_per_m: float
    focal_px: float | None = None

    @property
    def matrix(self) -> np.ndarray:
        """The (3, 4) matrix P with `[u w, v w, w] = P [X, 1]`; w is the distance in metres, or 1."""
        extrinsic = np.concatenate([self.rotation_rotmat, self.translation_m[:, None]], axis=1)
        cx, cy = self.center_px
        if self.focal_px is None:
            s = self.scale_px_per_m
            image = np.array([[s, 0, 0], [0, -s, 0], [0, 0, 0]]) @ extrinsic
            image[:, 3] += (cx, cy, 1)
            return image
        f = self.focal_px
        return np.array([[f, 0, -cx], [0, -f, -cy], [0, 0, -1.0]]) @ extrinsic

    def project(self, points: np.ndarray) -> np.ndarray:
        """Return the pixels (N, 2) of points (N, 3) in metres in the head frame."""
        homogeneous = points @ self.matrix[:, :3].T + self.matrix[:, 3]
        return homogeneous[:, :2] / homogeneous[:, 2:]

    def depth(self, points: np.ndarray) -> np.ndarray:
        """Return the depths (N,) in metres of points (N, 3) in the head frame, larger is farther."""
        return -(points @ self.rotation_rotmat[2] + self.translation_m[2])


def default_focal_px(width_px: float, height_px: float, scale_px_per_m: float) -> float:
    """Return the focal length in pixels to assume for a photo of unknown lens.

    It is the one that `DEFAULT_FIELD_OF_VIEW_DEG` gives a photo of this size; but where that would put the face
    nearer than `LEAST_DISTANCE_M`, the picture has been cut out of a larger one, and the lens was longer.

    Args:
        width_px: width of the photo. height_px: its height. scale_px_per_m: size of the face in it.
    """
    uncut = max(width_px, height_px) / 2 / float(np.tan(np.deg2rad(DEFAULT_FIELD_OF_VIEW_DEG) / 2))
    return max(uncut, LEAST_DISTANCE_M * scale_px_per_m)


def project_orthographic(points: Tensor, camera: Tensor) -> Tensor:
    """Project by the scaled orthographic camera of a crop (METHOD section 2).

    Args:
        points: (..., N, 3) metres, camera axes (+Y up).
        camera: (..., 3) scale, tx, ty.

    Returns:
        (..., N, 3): x, y in [-1, 1] with y downwards, and z where smaller is nearer.
    """
    scale = camera[..., None, :1]
    moved = torch.cat([points[..., :2] + camera[..., None, 1:], points[..., 2:]], dim=-1)
    return moved * scale * points.new_tensor([1.0, -1.0, -1.0])
