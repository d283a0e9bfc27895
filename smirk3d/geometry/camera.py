"""Cameras: from the head frame to image pixels.

Camera frame: +X right in the image, +Y up, +Z towards the viewer. A perspective camera is at the origin, so visible
points have negative Z. Pixels: origin at the top-left corner of the top-left pixel, x right, y down.
"""

# The stubs of torch, NumPy and trimesh leave some types unknown; everything else is checked strictly.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from smirk3d.equality import EqualByContents

DEFAULT_FIELD_OF_VIEW_DEG = 50.0
"""Assumed field of view along the long side of a photo with unknown lens, about that of a phone."""

MIN_FOCAL_PX, MAX_FOCAL_PX = 1.0, 1_000_000.0
"""Limits of a stated focal length; far beyond those of lenses, where numbers still keep their precision."""

MIN_DISTANCE_M = 0.6
"""People are seldom photographed from nearer than this, except in selfies at 0.3 to 0.6 m."""


@dataclass(frozen=True, eq=False)
class Camera(EqualByContents):
    """The pose of one head and the camera that images it.

    `X_camera = rotation_rotmat @ X_head + translation_m`. With a focal length (perspective),
    `u = cx + f x / -z`, `v = cy - f y / -z`; without one (scaled orthographic), `u = cx + s x`, `v = cy - s y`.

    Attributes:
        rotation_rotmat: (3, 3) float64, head frame to camera frame.
        translation_m: (3,) float64, metres; z is 0 for orthographic cameras.
        center_px: (2,) float64, principal point (cx, cy) in pixels.
        scale_px_per_m: s in pixels per metre (orthographic), or f / distance of the head's origin (perspective).
        focal_px: f in pixels, or None for a scaled orthographic camera.
    """

    rotation_rotmat: np.ndarray
    translation_m: np.ndarray
    center_px: np.ndarray
    scale_px_per_m: float
    focal_px: float | None = None

    @property
    def matrix(self) -> np.ndarray:
        """The (3, 4) float64 matrix P with `[u w, v w, w] = P [X, 1]`; w is the depth in metres, or 1 (orthographic).

        Source: Hartley and Zisserman, "Multiple View Geometry" (2003), chapter 6.
        """
        extrinsic = np.concatenate([self.rotation_rotmat, self.translation_m[:, None]], axis=1)
        cx, cy = self.center_px
        if self.focal_px is None:
            s = self.scale_px_per_m
            matrix = np.array([[s, 0, 0], [0, -s, 0], [0, 0, 0]]) @ extrinsic
            matrix[:, 3] += (cx, cy, 1)
            return matrix
        f = self.focal_px
        # Images have y down and visible points have negative z: hence the signs.
        return np.array([[f, 0, -cx], [0, -f, -cy], [0, 0, -1.0]]) @ extrinsic

    def project(self, points: np.ndarray) -> np.ndarray:
        """Project points to the image.

        Args:
            points: (N, 3) float, metres, head frame.

        Returns:
            (N, 2) float64, pixels.
        """
        homogeneous = points @ self.matrix[:, :3].T + self.matrix[:, 3]
        return homogeneous[:, :2] / homogeneous[:, 2:]

    def depth(self, points: np.ndarray) -> np.ndarray:
        """Return the depth of points along the optical axis; larger is farther.

        Args:
            points: (N, 3) float, metres, head frame.

        Returns:
            (N,) float64, metres; up to a constant for orthographic cameras.
        """
        return -(points @ self.rotation_rotmat[2] + self.translation_m[2])


def default_focal_px(width_px: float, height_px: float, scale_px_per_m: float) -> float:
    """Return the focal length to assume for a photo with unknown lens.

    It corresponds to `DEFAULT_FIELD_OF_VIEW_DEG`, unless that places the face nearer than `MIN_DISTANCE_M`: such an
    image was probably cropped from a larger one, and the focal length was longer.

    Args:
        width_px: Width of the photo in pixels.
        height_px: Height of the photo in pixels.
        scale_px_per_m: Size of the face in it, pixels per metre.

    Returns:
        Pixels.
    """
    uncropped = max(width_px, height_px) / 2 / float(np.tan(np.deg2rad(DEFAULT_FIELD_OF_VIEW_DEG) / 2))
    return max(uncropped, MIN_DISTANCE_M * scale_px_per_m)


def project_orthographic(points: Tensor, camera: Tensor) -> Tensor:
    """Project by the scaled orthographic camera of a crop, the camera model of SMIRK.

    Args:
        points: (..., N, 3) float, metres, camera axes (+Y up, +Z towards the viewer).
        camera: (..., 3) float, scale (NDC per metre), tx and ty (metres): x' = scale (x + tx), y' = -scale (y + ty).

    Returns:
        (..., N, 3) float: x and y in NDC, [-1, 1] over the crop, y down; z = -scale z, smaller is nearer.

    Source: Feng et al., "Learning an Animatable Detailed 3D Face Model from In-The-Wild Images" (DECA, 2021), whose
    convention SMIRK shares.
    """
    scale = camera[..., None, :1]
    moved = torch.cat([points[..., :2] + camera[..., None, 1:], points[..., 2:]], dim=-1)
    return moved * scale * points.new_tensor([1.0, -1.0, -1.0])
