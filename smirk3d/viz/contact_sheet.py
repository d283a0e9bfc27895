"""Contact sheets: many captioned images in one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from smirk3d.viz.bars import BACKGROUND_COLOR, TEXT_COLOR


def contact_sheet(
    images: Sequence[np.ndarray], captions: Sequence[str], columns: int, *, caption_px: int = 20
) -> np.ndarray:
    """Arrange images row by row on white, each with a caption below it.

    Args:
        images: (H, W, 3) uint8 RGB each, of any sizes; centred in cells of the largest size.
        captions: One line of text for each image.
        columns: Images per row, at least 1.
        caption_px: Height of a caption in pixels.

    Returns:
        (H', W', 3) uint8 RGB.

    Raises:
        ValueError: There are no images, the number of captions differs, or `columns` is not positive.
    """
    if not images or len(images) != len(captions) or columns < 1:
        raise ValueError(f"got {len(images)} images, {len(captions)} captions, {columns} columns")
    cell_height = max(image.shape[0] for image in images) + caption_px
    cell_width = max(image.shape[1] for image in images)
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (cell_width * min(columns, len(images)), cell_height * rows), BACKGROUND_COLOR)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(caption_px * 0.72)
    for index, (image, caption) in enumerate(zip(images, captions, strict=True)):
        left, top = index % columns * cell_width, index // columns * cell_height
        height, width = image.shape[:2]
        corner = (left + (cell_width - width) // 2, top + (cell_height - caption_px - height) // 2)
        sheet.paste(Image.fromarray(image), corner)
        center = (left + cell_width / 2, top + cell_height - caption_px / 2)
        draw.text(center, caption, TEXT_COLOR, font, anchor="mm")
    return np.asarray(sheet).copy()
