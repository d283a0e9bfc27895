"""Bar plots of expression weights, drawn with PIL."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

BACKGROUND_COLOR = (255, 255, 255)
TEXT_COLOR = (38, 42, 48)
TRACK_COLOR = (232, 234, 238)
BAR_COLOR = (66, 120, 196)


def bar_plot(
    weights: Sequence[tuple[str, float]], size: tuple[int, int], *, title: str = "", slots: int = 12
) -> np.ndarray:
    """Draw horizontal bars.

    Args:
        weights: Pairs of name and weight in [0, 1], drawn from the top; at most `slots`.
        size: Height and width in pixels.
        title: Line of text above the bars.
        slots: Number of bars that the height is divided into.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    height, width = size
    image = Image.new("RGB", (width, height), BACKGROUND_COLOR)
    draw = ImageDraw.Draw(image)
    step = height / (slots + 1.5)
    size_px = max(step * 0.46, 8)
    margin, name_end, bar_end = 0.04 * width, 0.52 * width, 0.86 * width
    draw.text((margin, step * 0.7), title, TEXT_COLOR, _fitting_font([title], size_px, width - 2 * margin), anchor="lm")
    names = [name for name, _ in weights[:slots]]
    font = _fitting_font([*names, "0.00"], size_px, name_end - 0.02 * width - margin / 2)
    for row, (name, weight) in enumerate(weights[:slots]):
        center, half = (row + 1.75) * step, 0.3 * step
        length = (bar_end - name_end) * min(max(weight, 0.0), 1.0)
        draw.text((name_end - 0.02 * width, center), name, TEXT_COLOR, font, anchor="rm")
        draw.rectangle((name_end, center - half, bar_end, center + half), fill=TRACK_COLOR)
        if length >= 1:
            draw.rectangle((name_end, center - half, name_end + length, center + half), fill=BAR_COLOR)
        draw.text((bar_end + 0.02 * width, center), f"{weight:.2f}", TEXT_COLOR, font, anchor="lm")
    return np.asarray(image).copy()


def _fitting_font(
    texts: Sequence[str], size_px: float, width_px: float
) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return a font of `size_px`, or a smaller one in which the longest of the texts is `width_px` wide."""
    font = ImageFont.load_default(size_px)
    longest_px = max(font.getlength(text) for text in texts)
    if longest_px <= width_px:
        return font
    return ImageFont.load_default(size_px * width_px / longest_px)
