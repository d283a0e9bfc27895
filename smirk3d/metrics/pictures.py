"""How alike two pictures are."""

from __future__ import annotations

import numpy as np

_SIGMA_PX, _WINDOW_PX = 1.5, 11
_K1, _K2 = 0.01, 0.03


def squared_error(found: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean squared difference of pictures (H, W, 3) uint8, as colours in [0, 1]."""
    return float(np.square((found.astype(np.float64) - truth) / 255).mean())


def structural_similarity(found: np.ndarray, truth: np.ndarray) -> float:
    """Return the structural similarity of pictures, at most 1, with Gaussian windows of 11 pixels.

    Source: Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity" (2004), equation 13;
    mean over the colour channels.

    Args:
        found: (H, W, 3) uint8.
        truth: (H, W, 3) uint8; at least 11 pixels along each side.
    """
    x, y = found.astype(np.float64) / 255, truth.astype(np.float64) / 255
    mean_x, mean_y = _windowed(x), _windowed(y)
    var_x, var_y = _windowed(x * x) - mean_x**2, _windowed(y * y) - mean_y**2
    both = _windowed(x * y) - mean_x * mean_y
    c1, c2 = _K1**2, _K2**2
    likeness = ((2 * mean_x * mean_y + c1) * (2 * both + c2)) / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    border = _WINDOW_PX // 2
    return float(likeness[border:-border, border:-border].mean())


def _windowed(values: np.ndarray) -> np.ndarray:
    """Return the means (H, W, 3) of values in the window around each pixel."""
    import cv2

    return np.asarray(cv2.GaussianBlur(values, (_WINDOW_PX, _WINDOW_PX), _SIGMA_PX))
