"""Shot boundary detection: the frames with which a new shot of an edited video begins."""

from __future__ import annotations

import numpy as np

THUMBNAIL_SHAPE = (18, 32)
"""Rows and columns of the thumbnails that are compared."""
MIN_CHANGE = 0.10
"""Mean absolute difference of thumbnails, in [0, 1], below which no frame is a cut."""
MIN_CHANGE_RATIO = 4.0
"""Least ratio of the difference at a cut to the running mean of differences."""
MEAN_DECAY = 0.9
"""Share of the previous value in the running mean of differences."""


class ShotBoundaryDetector:
    """Decides for each frame of a video in turn whether a new shot begins with it.

    A cut is a difference of thumbnails that is large both by itself and against the usual motion of the shot.
    """

    def __init__(self) -> None:
        self._last: np.ndarray | None = None
        self._mean_change = 0.0

    def __call__(self, pixels: np.ndarray) -> bool:
        """Return whether a frame begins a new shot.

        Args:
            pixels: (H, W, 3) uint8 RGB, the frame after that of the last call.
        """
        current = thumbnail(pixels)
        change = 0.0 if self._last is None else _thumbnail_difference(self._last, current)
        self._last = current
        is_cut = change > MIN_CHANGE and change > MIN_CHANGE_RATIO * self._mean_change
        # A cut is no motion: in the mean, it would hide a second cut soon after it.
        if not is_cut:
            self._mean_change = MEAN_DECAY * self._mean_change + (1 - MEAN_DECAY) * change
        return is_cut


def thumbnail(pixels: np.ndarray) -> np.ndarray:
    """Return a frame reduced to block means, (18, 32, 3) float32 in [0, 1].

    Large frames are subsampled first; their means are approximate.

    Args:
        pixels: (H, W, 3) uint8 RGB.
    """
    step = max(1, min(pixels.shape[:2]) // 120)
    coarse = pixels[::step, ::step].astype(np.float32) / 255
    rows, columns = (np.linspace(0, n, k + 1).astype(int)[:-1] for n, k in zip(coarse.shape, THUMBNAIL_SHAPE))
    sums = np.add.reduceat(np.add.reduceat(coarse, rows, axis=0), columns, axis=1)
    return sums / _cell_areas(coarse.shape, rows, columns)


def _cell_areas(shape: tuple[int, ...], rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return how many pixels each cell of a grid has: (rows, columns, 1)."""
    # At least 1, since `reduceat` returns one pixel for an empty cell of a frame smaller than the thumbnail.
    heights = np.maximum(np.diff(np.append(rows, shape[0])), 1)
    widths = np.maximum(np.diff(np.append(columns, shape[1])), 1)
    return (heights[:, None] * widths)[..., None]


def _thumbnail_difference(a: np.ndarray, b: np.ndarray) -> float:
    """Return the mean absolute difference of two thumbnails without their mean brightness."""
    # A flash or a change of exposure shifts the brightness of all pixels and is no cut.
    return float(np.abs((a - a.mean()) - (b - b.mean())).mean())
