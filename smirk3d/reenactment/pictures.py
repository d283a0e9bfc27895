"""Sizes and files of the pictures that are made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from smirk3d.assets import atomic_path, printable
from smirk3d.errors import Smirk3dError

PICTURE_SUFFIXES: tuple[str, ...] = (".png", ".jpg", ".jpeg", ".webp")
_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


def save_picture(pixels: np.ndarray, path: Path) -> None:
    """Write a picture (H, W, 3) uint8 whole or not at all, in the format of the suffix.

    Raises:
        Smirk3dError: It cannot be written.
    """
    with atomic_path(path) as temporary:
        try:
            Image.fromarray(pixels).save(temporary, format=_FORMATS[path.suffix.lower()], quality=95)
        except (OSError, ValueError) as error:
            raise Smirk3dError(f"{printable(path)}: cannot be written ({error}); free space, or choose .png") from error


def reduced(pixels: np.ndarray, long_side_px: int) -> np.ndarray:
    """Return a picture (H, W, 3) whose long side is at most `long_side_px`; smaller ones are not enlarged."""
    height, width = pixels.shape[:2]
    factor = long_side_px / max(height, width)
    if factor >= 1:
        return pixels
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))


def beside(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return two pictures side by side, the left one resized to the height of the right one."""
    height = right.shape[0]
    width = max(1, round(left.shape[1] * height / left.shape[0]))
    if left.shape[0] != height:
        left = np.asarray(Image.fromarray(left).resize((width, height), Image.Resampling.LANCZOS))
    return np.concatenate([left, right], axis=1)
