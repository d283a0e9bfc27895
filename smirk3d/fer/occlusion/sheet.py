"""A sheet of faces: the photo, what hides parts of the face, and the repaired face."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from smirk3d.fer.occlusion.patches import PATCH_PX, SIDE_PX
from smirk3d.viz.contact_sheet import contact_sheet

MAX_FACES = 24
"""Most faces on a sheet."""
_FACE_PX, _COLUMNS, _CAPTION_LETTERS = 192, 2, 48
_TINT, _OPACITY = np.array([230.0, 40.0, 40.0]), 0.45


@dataclass(frozen=True, eq=False)
class RepairCell:
    """One face of the sheet.

    Attributes:
        caption: Name of the image, and the occluded share.
        pixels: (H, W, 3) uint8: photo, occluded patches, repaired face.
    """

    caption: str
    pixels: np.ndarray


def tinted(window: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Return a window (96, 96) uint8 as (96, 96, 3) uint8 with its occluded patches (12, 12) bool in red."""
    area = np.kron(hidden, np.ones((PATCH_PX, PATCH_PX)))[..., None] * _OPACITY
    grey = np.repeat(window[..., None], 3, axis=2).astype(np.float64)
    return (grey + area * (_TINT - grey)).round().astype(np.uint8)


def repair_cell(
    name: str, photo: np.ndarray, window: np.ndarray, hidden: np.ndarray, repaired: np.ndarray
) -> RepairCell:
    """Draw the cell of a face.

    Args:
        name: Name of the image; of a long one the end is kept.
        photo: (h, w, 3) uint8, the photo about the face.
        window: (96, 96) uint8, the face.
        hidden: (12, 12) bool, its occluded patches.
        repaired: (96, 96) uint8.
    """
    assert window.shape == repaired.shape == (SIDE_PX, SIDE_PX)
    panels = [photo, tinted(window, hidden), np.repeat(repaired[..., None], 3, axis=2)]
    large = [Image.fromarray(each).resize((_FACE_PX, _FACE_PX), Image.Resampling.BICUBIC) for each in panels]
    short = name if len(name) <= _CAPTION_LETTERS else f"…{name[1 - _CAPTION_LETTERS :]}"
    pixels = np.concatenate([np.asarray(each) for each in large], axis=1)
    return RepairCell(f"{short}: {100 * hidden.mean():.0f} % occluded", pixels)


def repair_sheet(cells: list[RepairCell]) -> np.ndarray:
    """Arrange cells, at least one, on a sheet (H, W, 3) uint8."""
    return contact_sheet([each.pixels for each in cells], [each.caption for each in cells], _COLUMNS)
