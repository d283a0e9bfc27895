"""The square crop about a face that is the input of networks, and the maps between crop and photo.

Photo and crop both have pixels with the origin at the top-left corner of the top-left pixel: centres at +0.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from smirk3d.geometry.align import Similarity
from smirk3d.geometry.camera import Camera
from smirk3d.geometry.rotations import rotmat_to_rotvec


@dataclass(frozen=True)
class Crop:
    """An upright square of a photo, resampled to `size` pixels a side.

    The corners of the square coincide with the *centres* of the crop's corner pixels, 0 and `size` - 1, so the crop
    shows half a pixel more on each side. A point `p` of the photo is at
    `c = 0.5 + (p - (x0, y0)) (size - 1) / side_px` in the crop.

    The released SMIRK code (Retsinas et al., CVPR 2024) has the same map between pixel indices, but uses landmarks,
    which count from the corner of the first pixel, as indices: its crops lie half a pixel of the photo further down
    and right.

    Attributes:
        x0: Left side of the square, pixels of the photo.
        y0: Top of the square, pixels of the photo.
        side_px: Side of the square, pixels of the photo.
        size: Side of the crop, pixels of the crop.

    Raises:
        ValueError: `side_px` is not positive, or `size` is less than 2.
    """

    x0: float
    y0: float
    side_px: float
    size: int = 224

    def __post_init__(self) -> None:
        if not self.side_px > 0 or self.size < 2:
            raise ValueError(f"a crop needs a positive side and 2 pixels, not {self.side_px} and {self.size}")

    @staticmethod
    def from_landmarks(landmarks_px: np.ndarray, scale: float, size: int = 224) -> Crop:
        """Return the crop about landmarks.

        Args:
            landmarks_px: (L, 2) float landmarks, pixels of the photo.
            scale: Side of the square over the mean of width and height of the landmarks' box; all networks of the
                package use 1.4.
            size: Side of the crop, pixels.

        Returns:
            The crop about the centre of the box; its side is truncated to whole pixels, as the released
            weights were trained.

        Raises:
            ValueError: The box is too small for a square of one pixel.
        """
        low, high = np.min(landmarks_px, axis=0), np.max(landmarks_px, axis=0)
        side_px = int(float((high - low).mean()) * scale)
        x0, y0 = (low + high) / 2 - side_px / 2
        return Crop(float(x0), float(y0), float(side_px), size)

    @property
    def scale(self) -> float:
        """Pixels of the crop per pixel of the photo."""
        return (self.size - 1) / self.side_px

    def to_crop(self, points_px: np.ndarray) -> np.ndarray:
        """Return the pixels of the crop (..., 2) of points (..., 2) in pixels of the photo."""
        return (points_px - np.array([self.x0, self.y0])) * self.scale + 0.5

    def to_photo(self, points: np.ndarray) -> np.ndarray:
        """Return the pixels of the photo (..., 2) of points (..., 2) in pixels of the crop."""
        return (points - 0.5) / self.scale + np.array([self.x0, self.y0])

    def to_ndc(self, points: np.ndarray) -> np.ndarray:
        """Return the renderer's coordinates (..., 2), [-1,1] from edge to edge, of pixels of the crop."""
        return 2 * points / self.size - 1

    def from_ndc(self, points_ndc: np.ndarray) -> np.ndarray:
        """Return the pixels of the crop (..., 2) of points (..., 2) in the renderer's coordinates."""
        return (points_ndc + 1) * self.size / 2

    def cut(self, photo: np.ndarray, *, antialias: bool = False) -> Tensor:
        """Resample the photo bilinearly, black outside of it.

        Args:
            photo: (H, W, 3) uint8 RGB in [0, 255].
            antialias: Average over the area of a pixel of the crop where it is larger than a pixel of the photo.
                The released SMIRK weights were trained without.

        Returns:
            (3, size, size) float32 in [0,1].

        Raises:
            ValueError: The photo is not an RGB image.
        """
        if photo.ndim != 3 or photo.shape[2] != 3 or photo.dtype != np.uint8 or photo.size == 0:
            raise ValueError(f"expected H×W×3 uint8, not empty; got {photo.dtype} of shape {photo.shape}")
        # k samples a k-th of a pixel apart cover a pixel of the crop evenly.
        n_samples = max(1, int(np.ceil(1 / self.scale))) if antialias else 1
        centers = (np.arange(self.size * n_samples) + 0.5) / n_samples
        x, y = self.to_photo(np.stack([centers, centers], axis=1)).T
        left, right = _span(x, photo.shape[1])
        top, bottom = _span(y, photo.shape[0])
        if left >= right or top >= bottom:
            return torch.zeros(3, self.size, self.size)
        # Only the part in the crop becomes float: photos may have a hundred times more pixels.
        part = torch.tensor(photo[top:bottom, left:right]).movedim(-1, 0)[None].float() / 255
        grid = _grid(2 * (x - left) / (right - left) - 1, 2 * (y - top) / (bottom - top) - 1)
        sampled = functional.grid_sample(part, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        return (functional.avg_pool2d(sampled, n_samples) if n_samples > 1 else sampled)[0]


def camera_from_crop(pose_rotmat: np.ndarray, joints_root: np.ndarray, camera: np.ndarray, crop: Crop) -> Camera:
    """Convert an encoder's camera of a crop to a camera of the photo.

    Args:
        pose_rotmat: (3, 3) global rotation R of the head about the root joint.
        joints_root: (3,) root joint J of the unposed head, metres: `X_posed = R (X - J) + J`.
        camera: (3,) scaled orthographic camera (s, tx, ty) of the crop's NDC: `x' = s (x + tx)`, `y' = -s (y + ty)`.
        crop: The crop.

    Returns:
        Scaled orthographic camera for points of the *unposed* head (shape, expression, jaw and neck applied, the
        global rotation not); its rotation is R.
    """
    scale, *shift = np.asarray(camera, dtype=np.float64)
    rotmat = np.asarray(pose_rotmat, dtype=np.float64)
    root = np.asarray(joints_root, dtype=np.float64)
    x, y, _ = root - rotmat @ root
    return Camera(
        rotation_rotmat=rotmat,
        translation_m=np.array([x + shift[0], y + shift[1], 0.0]),
        center_px=crop.to_photo(crop.from_ndc(np.zeros(2))),
        scale_px_per_m=float(scale * crop.size / 2 / crop.scale),
    )


def camera_to_crop(alignment: Similarity, root: Tensor, crops: Sequence[Crop]) -> tuple[Tensor, Tensor]:
    """Return pose and camera of heads in their crops, the inverse of `camera_from_crop`.

    Args:
        alignment: B maps from metres of the head frame to pixels of the photo, y upwards.
        root: (3,) root joint of the unposed head, metres.
        crops: B crops.

    Returns:
        Rotation vectors (B, 3) about the root joint, radians, and cameras (B, 3): scale, tx, ty.
    """
    zoom = alignment.scale.new_tensor([2 * crop.scale / crop.size for crop in crops])
    middle = alignment.scale.new_tensor(np.stack([crop.to_photo(crop.from_ndc(np.zeros(2))) for crop in crops]))
    # An alignment rotates about the origin, a pose about the root joint J: R X = R (X - J) + J + (R J - J).
    moved = alignment.rotmat @ root - root
    shift = (alignment.offset[:, :2] + middle * middle.new_tensor([-1.0, 1.0])) / alignment.scale[:, None]
    camera = torch.cat([(alignment.scale * zoom)[:, None], moved[:, :2] + shift], dim=1)
    return rotmat_to_rotvec(alignment.rotmat), camera


def _span(positions: np.ndarray, length: int) -> tuple[int, int]:
    """Return the half-open range of pixels that bilinear samples at sorted positions use."""
    return max(int(np.floor(positions[0] - 0.5)), 0), min(int(np.floor(positions[-1] + 0.5)) + 1, length)


def _grid(x: np.ndarray, y: np.ndarray) -> Tensor:
    """(1, h, w, 2) float32 positions for `grid_sample` of the columns' x (w,) and the rows' y (h,)."""
    columns, rows = torch.from_numpy(x).float(), torch.from_numpy(y).float()
    size = len(y), len(x)
    return torch.stack([columns.expand(size), rows[:, None].expand(size)], dim=-1)[None]
