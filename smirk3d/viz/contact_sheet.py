"""Contact sheets: many captioned pictures in one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from smirk3d.viz.bars import INK, PAPER


def contact_sheet(
    images: Sequence[np.ndarray], captions: Sequence[str], columns: int, *, caption_px: int = 20
) -> np.ndarray:
    """Put pictures row by row on white paper, each with a line of text below it.

    Args:
        images: (H, W, 3) uint8 RGB, of any sizes; each is centred in a cell of the largest.
        captions: One line for each.
        columns: Pictures in a row.
        caption_px: Height of a line of text.

    Returns:
        (H', W', 3) uint8 RGB.

    Raises:
        ValueError: There are no pictures, captions are missing, or `columns` is not positive.
    """
    if not images or len(images) != len(captions) or columns < 1:
        raise ValueError(f"got {len(images)} images, {len(captions)} captions, {columns} columns")
    cell_height = max(image.shape[0] for image in images) + caption_px
    cell_width = max(image.shape[1] for image in images)
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (cell_width * min(columns, len(images)), cell_height * rows), PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(caption_px * 0.72)
    for index, (image, caption) in enumerate(zip(images, captions, strict=True)):
        left, top = index % columns * cell_width, index // columns * cell_height
        height, width = image.shape[:2]
        place = (left + (cell_width - width) // 2, top + (cell_height - caption_px - height) // 2)
        sheet.paste(Image.fromarray(image), place)
        middle = (left + cell_width / 2, top + cell_height - caption_px / 2)
        draw.text(middle, caption, INK, font, anchor="mm")
    return np.asarray(sheet).copy()
