"""Boxes of faces: x0, y0, x1, y1 in pixels, x right, y down."""

from __future__ import annotations

import numpy as np


def box_area(box_px: np.ndarray) -> float:
    """Return the area of a box (4,) in square pixels; 0 where it is turned inside out."""
    return float(np.prod(np.maximum(box_px[2:] - box_px[:2], 0.0)))


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Return the intersection over union, in [0, 1], of two boxes (4,) x0, y0, x1, y1."""
    common = box_area(np.concatenate((np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:]))))
    return common / max(box_area(a) + box_area(b) - common, 1e-12)
