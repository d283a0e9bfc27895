"""Layers of a moved face become a picture at the photo's own resolution."""

from __future__ import annotations

import numpy as np

from smirk3d.reenactment.face_layers import FaceLayers
from smirk3d.reenactment.region import Region

SOFT_STOP = 4
"""Exponent by which motion slows down before the ends of the photo: the larger, the later."""


def compose(pixels: np.ndarray, region: Region, layers: FaceLayers) -> np.ndarray:
    """Return a photo with a moved face.

    Args:
        pixels: (H, W, 3) uint8 sRGB, the photo; outside the region it stays.
        region: The part that changes.
        layers: Its layers.

    Returns:
        (H, W, 3) uint8.
    """
    import cv2

    height, width = pixels.shape[:2]
    side, x0, y0 = region.side_px, region.x0, region.y0
    left, top, right, bottom = max(x0, 0), max(y0, 0), min(x0 + side, width), min(y0 + side, height)
    inside = np.s_[top - y0 : bottom - y0, left - x0 : right - x0]
    moved = _at_side(layers.displacement.numpy(), side)[inside] * (side / 2)
    columns, rows = np.meshgrid(np.arange(left, right, dtype=np.float32), np.arange(top, bottom, dtype=np.float32))
    columns, rows = _moved_within(columns, moved[..., 0], width), _moved_within(rows, moved[..., 1], height)
    warped = cv2.remap(pixels, columns, rows, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101).astype(np.float32)
    share = _at_side(layers.photo_share.numpy(), side)[inside][..., None]
    gain = _at_side(layers.gain.numpy(), side)[inside][..., None]
    fill = _at_side(layers.fill.permute(1, 2, 0).numpy(), side)[inside] * 255
    result = pixels.copy()
    result[top:bottom, left:right] = (warped * gain * share + fill * (1 - share) + 0.5).clip(0, 255).astype(np.uint8)
    return result


def _moved_within(position: np.ndarray, moved: np.ndarray, length: int) -> np.ndarray:
    """Return moved positions (...) of pixels that stay within a side of a photo, which stretches near its ends."""
    room = np.where(moved > 0, length - 1 - position, position).clip(1e-3)
    share = (np.abs(moved) / room).clip(0, 1e4)
    return position + moved / (1 + share**SOFT_STOP) ** (1 / SOFT_STOP)


def _at_side(field: np.ndarray, side: int) -> np.ndarray:
    """Return a field (S, S, ...) at another side."""
    import cv2

    if len(field) == side:
        return np.ascontiguousarray(field)
    return cv2.resize(np.ascontiguousarray(field), (side, side), interpolation=cv2.INTER_LINEAR)
