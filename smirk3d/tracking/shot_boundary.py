"""Where a video cuts to another scene."""

from __future__ import annotations

import numpy as np

THUMBNAIL_SHAPE = (18, 32)
"""Rows and columns to which frames are averaged before they are compared."""
MIN_CHANGE = 0.10
"""Mean difference of thumbnails, of the full range, below which nothing is a cut."""
MIN_CHANGE_RATIO = 4.0
"""How many times the usual difference of neighbouring frames a cut has at least."""
MEAN_DECAY = 0.9
"""Share of the old in the running mean of differences."""


class ShotBoundaryDetector:
    """Says of each frame of a video in turn whether a new scene begins with it."""

    def __init__(self) -> None:
        self._last: np.ndarray | None = None
        self._usual = 0.0

    def __call__(self, pixels: np.ndarray) -> bool:
        """Return whether (H, W, 3) uint8 pixels are of another scene than those of the last call."""
        small = thumbnail(pixels)
        change = 0.0 if self._last is None else _thumbnail_difference(self._last, small)
        self._last = small
        is_cut = change > MIN_CHANGE and change > MIN_CHANGE_RATIO * self._usual
        if not is_cut:
            self._usual = MEAN_DECAY * self._usual + (1 - MEAN_DECAY) * change
        return is_cut


def thumbnail(pixels: np.ndarray) -> np.ndarray:
    """Return rough means (18, 32, 3) in [0, 1] of (H, W, 3) uint8 pixels, from every fourth one in large frames."""
    step = max(1, min(pixels.shape[:2]) // 120)
    coarse = pixels[::step, ::step].astype(np.float32) / 255
    rows, columns = (np.linspace(0, n, k + 1).astype(int)[:-1] for n, k in zip(coarse.shape, THUMBNAIL_SHAPE))
    sums = np.add.reduceat(np.add.reduceat(coarse, rows, axis=0), columns, axis=1)
    return sums / _cell_areas(coarse.shape, rows, columns)


def _cell_areas(shape: tuple[int, ...], rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    heights = np.maximum(np.diff(np.append(rows, shape[0])), 1)
    widths = np.maximum(np.diff(np.append(columns, shape[1])), 1)
    return (heights[:, None] * widths)[..., None]


def _thumbnail_difference(a: np.ndarray, b: np.ndarray) -> float:
    """Return how much two thumbnails differ, apart from brightness as a whole, which a flash changes too."""
    return float(np.abs((a - a.mean()) - (b - b.mean())).mean())
