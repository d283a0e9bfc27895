"""Contact sheets of sample images of a training run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from torch import Tensor

MAX_FACES = 8
MIN_SIDE_PX = 128
CAPTION_PX = 16


def save_preview(path: Path, images: Mapping[str, Tensor]) -> None:
    """Write images as a contact sheet: a face per row, a kind of image per column, with captions.

    Args:
        path: PNG file to write; its folder must exist.
        images: Name -> (B, 3, S, S) in [0, 1]. The smallest B and 8 bound the rows. Images smaller than 128 pixels are
            enlarged by an integer factor.

    Raises:
        ValueError: There are no images.
        Smirk3dError: The file cannot be written.
    """
    from smirk3d.viz.contact_sheet import contact_sheet
    from smirk3d.viz.overlay import save_png

    rows = min((len(each) for each in images.values()), default=0)
    cells = [(name, each[row]) for row in range(min(rows, MAX_FACES)) for name, each in images.items()]
    pixels = [_pixels(image) for _, image in cells]
    captions = [name.replace("_", " ") for name, _ in cells]
    save_png(path, contact_sheet(pixels, captions, max(len(images), 1), caption_px=CAPTION_PX))


def _pixels(image: Tensor) -> np.ndarray:
    """Return (H, W, 3) uint8."""
    factor = -(-MIN_SIDE_PX // image.shape[-1])
    pixels = (image.detach().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)
