"""The small upright grey image of a face from which the visibility of its regions is estimated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from smirk3d.head.landmark_indices import EYE_LEFT, EYE_RIGHT, LIPS_INNER, LIPS_OUTER, SKIN_COUNT

PATCH_SIZE = 64
"""Side of the patch in pixels."""
PATCH_SCALE = 1.15
"""Side of the patch over the longer side of the landmarks' upright box."""
SAMPLES = 2
"""Samples of the photo along a pixel of the patch."""
MIN_SIDE_PX = 4.0
"""Smaller patches of the photo are enlarged about the face."""
FEATURE_POINTS = (*EYE_RIGHT, *EYE_LEFT, *LIPS_OUTER, *LIPS_INNER)
"""Landmarks that are marked in a channel of the input, which tells where eyes and mouth are believed to be."""
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_FOREHEAD, _CHIN = 10, 152


@dataclass(frozen=True, eq=False)
class PatchFrame:
    """Where a patch lies in a photo.

    Attributes:
        center_px: (2,) centre in pixels of the photo.
        right_px: (2,) half of a side, from the centre to the right side of the patch, in pixels of the photo.
    """

    center_px: np.ndarray
    right_px: np.ndarray

    @staticmethod
    def from_landmarks(landmarks_px: np.ndarray) -> PatchFrame:
        """Return the square about a face, upright along the line from the chin to the forehead.

        Args:
            landmarks_px: (478, 2) float, pixels of the photo.
        """
        points = np.asarray(landmarks_px[:SKIN_COUNT], dtype=np.float64)
        down = points[_CHIN] - points[_FOREHEAD]
        length = float(np.hypot(*down))
        down = down / length if length > 0 else np.array([0.0, 1.0])
        right = np.array([down[1], -down[0]])
        upright = np.stack([points @ right, points @ down], axis=1)
        low, high = upright.min(axis=0), upright.max(axis=0)
        x, y = (low + high) / 2
        half_px = max(float((high - low).max()) * PATCH_SCALE, MIN_SIDE_PX) / 2
        return PatchFrame(x * right + y * down, half_px * right)

    @property
    def down_px(self) -> np.ndarray:
        """(2,) half of a side, from the centre to the lower side of the patch, in pixels of the photo."""
        return np.array([-self.right_px[1], self.right_px[0]])

    def moved(self, shift: tuple[float, float], scale: float, turn_rad: float) -> PatchFrame:
        """Return the frame shifted in half sides (right, down), then scaled and turned clockwise about its centre."""
        center_px = self.center_px + shift[0] * self.right_px + shift[1] * self.down_px
        cosine, sine = scale * np.cos(turn_rad), scale * np.sin(turn_rad)
        return PatchFrame(center_px, cosine * self.right_px + sine * self.down_px)

    def to_patch(self, points_px: np.ndarray) -> np.ndarray:
        """Return pixels of the patch (P, 2) of points (P, 2) in pixels of the photo."""
        relative, square = points_px - self.center_px, float(self.right_px @ self.right_px)
        axes = np.stack([self.right_px, self.down_px], axis=1)
        return (relative @ axes / square + 1) * (PATCH_SIZE / 2)

    def sample(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Average an image over the pixels of the patch.

        Args:
            image: (H, W) or (H, W, 3) uint8.

        Returns:
            (64, 64) float32 in [0, 255], of RGB the luma, 0 outside the photo; and which share of each pixel lies
            inside the photo, (64, 64) float32 in [0, 1].
        """
        count, (height, width) = PATCH_SIZE * SAMPLES, image.shape[:2]
        step = ((np.arange(count) + 0.5) * (2 / count) - 1).astype(np.float32)
        start, right = self.center_px.astype(np.float32), self.right_px.astype(np.float32)
        down = self.down_px.astype(np.float32)
        column = np.floor(np.add.outer(step * down[0], step * right[0] + start[0])).astype(np.int32)
        row = np.floor(np.add.outer(step * down[1], step * right[1] + start[1])).astype(np.int32)
        index = row.clip(0, height - 1) * width + column.clip(0, width - 1)
        taken = image.reshape(height * width, -1).take(index.ravel(), axis=0)
        luma = (taken @ _LUMA if taken.shape[-1] == 3 else taken[:, 0].astype(np.float32)).reshape(count, count)
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        return _block_mean(luma * inside), _block_mean(inside.astype(np.float32))


def _block_mean(values: np.ndarray) -> np.ndarray:
    """Return the means (64, 64) float32 over blocks of `SAMPLES` by `SAMPLES` values."""
    rows = sum(values[k::SAMPLES] for k in range(1, SAMPLES)) + values[::SAMPLES]
    return (sum(rows[:, k::SAMPLES] for k in range(1, SAMPLES)) + rows[:, ::SAMPLES]) / np.float32(SAMPLES**2)


def landmark_map(points: np.ndarray) -> np.ndarray:
    """Return an image (64, 64) float32 that is 1 where one of the points (P, 2) in pixels of the patch lies."""
    landmarks = np.zeros((PATCH_SIZE, PATCH_SIZE), dtype=np.float32)
    column, row = np.floor(points).astype(np.int64).clip(0, PATCH_SIZE - 1).T
    landmarks[row, column] = 1
    return landmarks


def network_input(luma: np.ndarray, inside: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Return what the network of visibility reads.

    Args:
        luma: (..., 64, 64) in [0, 255], as `PatchFrame.sample` returns it.
        inside: (..., 64, 64) in [0, 1], share of each pixel inside the photo.
        landmarks: (..., 64, 64), see `landmark_map`.

    Returns:
        (..., 3, 64, 64) float32: luma with mean 0 and standard deviation 1 over the photo, 0 outside; inside; and
            landmarks.
    """
    weight = inside / np.maximum(inside.sum(axis=(-2, -1), keepdims=True), 1e-6)
    # Outside the photo the luma is 0 already, so a pixel on the border holds its share of it.
    mean = (luma * (inside > 0) / np.maximum(inside, 1e-6) * weight).sum(axis=(-2, -1), keepdims=True)
    centered = luma - mean * inside
    std = np.sqrt((centered**2 * weight).sum(axis=(-2, -1), keepdims=True))
    return np.stack([centered / np.maximum(std, 1.0), inside, landmarks], axis=-3).astype(np.float32)


def face_input(pixels: np.ndarray, landmarks_px: np.ndarray) -> np.ndarray:
    """Return the input (3, 64, 64) float32 of the network for one face, see `network_input`.

    Args:
        pixels: (H, W, 3) uint8 RGB in [0, 255].
        landmarks_px: (478, 2) float, pixels of the photo.
    """
    frame = PatchFrame.from_landmarks(landmarks_px)
    luma, inside = frame.sample(pixels)
    return network_input(luma, inside, landmark_map(frame.to_patch(landmarks_px[list(FEATURE_POINTS)])))
