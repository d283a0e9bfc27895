"""Pictures of many windows in one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from smirk3d.viz.contact_sheet import contact_sheet

SHOWN_PX = 128
"""Side of a window on a sheet."""
_COLUMNS, _CAPTION_LETTERS = 8, 32


def grid(windows: np.ndarray, columns: int = _COLUMNS) -> np.ndarray:
    """Arrange windows (N, 64, 64, 3) uint8 row by row, enlarged; the rest of the last row is white."""
    columns = min(columns, len(windows))
    rows = -(-len(windows) // columns)
    result = np.full((rows * SHOWN_PX, columns * SHOWN_PX, 3), 255, dtype=np.uint8)
    for k, window in enumerate(windows):
        y, x = k // columns * SHOWN_PX, k % columns * SHOWN_PX
        result[y : y + SHOWN_PX, x : x + SHOWN_PX] = enlarged(window)
    return result


def reconstruction_sheet(faces: Sequence[tuple[str, np.ndarray, np.ndarray]], columns: int = 4) -> np.ndarray:
    """Arrange faces, each a name, a window and its reconstruction, with both beside each other."""
    images = [np.concatenate([enlarged(window), enlarged(decoded)], axis=1) for _, window, decoded in faces]
    names = [name if len(name) <= _CAPTION_LETTERS else f"…{name[1 - _CAPTION_LETTERS :]}" for name, _, _ in faces]
    return contact_sheet(images, names, columns)


def enlarged(window: np.ndarray) -> np.ndarray:
    """Return a window (64, 64, 3) uint8 with a side of `SHOWN_PX`."""
    return np.asarray(Image.fromarray(window).resize((SHOWN_PX, SHOWN_PX), Image.Resampling.BICUBIC))


def psnr_db(window: np.ndarray, decoded: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio of a window's reconstruction, both (64, 64, 3) uint8."""
    error = float(np.square(window.astype(np.float64) - decoded).mean())
    return 10 * float(np.log10(255**2 / max(error, 1e-3)))
