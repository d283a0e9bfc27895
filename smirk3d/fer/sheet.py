"""A sheet of faces, sorted by emotion, each with bars of its probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from smirk3d.fer.emotions import EMOTIONS
from smirk3d.fer.recognizer import FaceEmotion
from smirk3d.viz.bars import bar_plot
from smirk3d.viz.contact_sheet import contact_sheet

MAX_FACES = 96
"""Most faces on a sheet."""
_FACE_PX, _BARS_PX, _COLUMNS, _MARGIN, _CAPTION_LETTERS = 144, 150, 4, 0.2, 32


@dataclass(frozen=True, eq=False)
class SheetCell:
    """One face of the sheet.

    Attributes:
        caption: Name of the image.
        emotion: The most probable emotion.
        probability: Its probability.
        pixels: (H, W, 3) uint8, face and bars.
    """

    caption: str
    emotion: str
    probability: float
    pixels: np.ndarray


def sheet_cell(caption: str, pixels: np.ndarray, found: FaceEmotion) -> SheetCell:
    """Draw the cell of a face.

    Args:
        caption: Name of the image; long ones keep their end.
        pixels: (H, W, 3) uint8 RGB, the photo.
        found: The expression of the face.
    """
    height, width = pixels.shape[:2]
    x0, y0, x1, y1 = (float(edge) for edge in found.face.box_px)
    half = max(x1 - x0, y1 - y0) * (0.5 + _MARGIN)
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    box = tuple(
        round(edge) for edge in (max(x - half, 0), max(y - half, 0), min(x + half, width), min(y + half, height))
    )
    box = (box[0], box[1], max(box[2], box[0] + 1), max(box[3], box[1] + 1))
    thumbnail = Image.fromarray(pixels).crop(box).resize((_FACE_PX, _FACE_PX), Image.Resampling.LANCZOS)
    bars = bar_plot(list(found.probabilities.items()), (_FACE_PX, _BARS_PX), slots=len(EMOTIONS))
    name = caption if len(caption) <= _CAPTION_LETTERS else f"…{caption[1 - _CAPTION_LETTERS :]}"
    return SheetCell(
        name, found.emotion, found.probabilities[found.emotion], np.concatenate([np.asarray(thumbnail), bars], axis=1)
    )


def emotion_sheet(cells: Sequence[SheetCell]) -> np.ndarray:
    """Arrange cells by emotion, the surest faces of each first.

    Args:
        cells: At least one.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    ordered = sorted(cells, key=lambda cell: (EMOTIONS.index(cell.emotion), -cell.probability))
    return contact_sheet([cell.pixels for cell in ordered], [cell.caption for cell in ordered], _COLUMNS)
