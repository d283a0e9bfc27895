"""The square part of a photo around a face that reenactment may change."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

SCALE = 2.2
"""Side of the region over the size of the face's landmarks."""
MAX_SIZE = 512
"""Most pixels along a side for which the motion is computed; the photo itself is moved at its own resolution."""


@dataclass(frozen=True)
class Region:
    """A square with whole pixels of a photo, of which it may reach beyond.

    Attributes:
        x0: Left side, pixels of the photo.
        y0: Top, pixels of the photo.
        side_px: Side, pixels of the photo.
        size: Side in samples of the motion, at most `side_px`.
    """

    x0: int
    y0: int
    side_px: int
    size: int

    @staticmethod
    def of_landmarks(landmarks_px: np.ndarray, max_size: int = MAX_SIZE, scale: float = SCALE) -> Region:
        """Return the region around landmarks (L, 2) in pixels of the photo, `scale` times as large as they are."""
        low, high = landmarks_px.min(axis=0), landmarks_px.max(axis=0)
        side = max(16, round(float((high - low).max()) * scale))
        x0, y0 = np.round((low + high) / 2 - side / 2).astype(int).tolist()
        return Region(x0, y0, side, min(side, max_size))

    def to_ndc(self, points_px: np.ndarray) -> np.ndarray:
        """Return positions (N, 2) in [-1, 1] from edge to edge of points in pixels of the photo."""
        return (points_px - np.array([self.x0, self.y0])) * (2 / self.side_px) - 1

    def to_px(self, points_ndc: np.ndarray) -> np.ndarray:
        """Return pixels of the photo of positions (N, 2) in [-1, 1]; the inverse of `to_ndc`."""
        return (points_ndc + 1) * (self.side_px / 2) + np.array([self.x0, self.y0])

    def cut(self, pixels: np.ndarray) -> Tensor:
        """Return the region (3, S, S) float32 in [0, 1] of a photo (H, W, 3) uint8, mirrored beyond it."""
        import cv2

        height, width = pixels.shape[:2]
        columns = _mirrored(np.arange(self.x0, self.x0 + self.side_px), width)
        rows = _mirrored(np.arange(self.y0, self.y0 + self.side_px), height)
        part = pixels[np.ix_(rows, columns)].astype(np.float32) / 255
        if self.size != self.side_px:
            part = cv2.resize(part, (self.size, self.size), interpolation=cv2.INTER_AREA)
        return torch.from_numpy(part).permute(2, 0, 1).contiguous()


def _mirrored(index: np.ndarray, length: int) -> np.ndarray:
    """Return indices (N,) in [0, length) of a line that is mirrored at its ends."""
    period = max(2 * (length - 1), 1)
    folded = np.abs(index) % period
    return np.minimum(folded, period - folded).clip(0, length - 1)
