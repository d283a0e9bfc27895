"""Sheets of sample pictures, by which a person judges how a run is doing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from torch import Tensor

MOST_FACES = 8
LEAST_SIDE_PX = 128
CAPTION_PX = 16


def save_preview(path: Path, pictures: Mapping[str, Tensor]) -> None:
    """Write pictures as a sheet, a face a row and a kind of picture a column, with its name.

    Args:
        path: PNG; its folder must exist.
        pictures: Name -> (B, 3, S, S) in [0, 1]; B may differ, and what has fewer faces bounds the rows. Pictures
            smaller than 128 pixels are enlarged by a whole factor.

    Raises:
        ValueError: There are no pictures.
        Smirk3dError: The file cannot be written.
    """
    from smirk3d.viz.contact_sheet import contact_sheet
    from smirk3d.viz.overlay import save_png

    rows = min((len(each) for each in pictures.values()), default=0)
    shown = [(name, each[row]) for row in range(min(rows, MOST_FACES)) for name, each in pictures.items()]
    images = [_pixels(picture) for _, picture in shown]
    captions = [name.replace("_", " ") for name, _ in shown]
    save_png(path, contact_sheet(images, captions, max(len(pictures), 1), caption_px=CAPTION_PX))


def _pixels(picture: Tensor) -> np.ndarray:
    """Return (H, W, 3) uint8."""
    factor = -(-LEAST_SIDE_PX // picture.shape[-1])
    pixels = (picture.detach().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)
