"""How alike two pictures are."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

_SIGMA_PX, _TRUNCATE = 1.5, 3.5
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
    values = [
        _channel_similarity(*(each[..., c].astype(np.float64) / 255 for each in (found, truth))) for c in range(3)
    ]
    return float(np.mean(values))


def _channel_similarity(x: np.ndarray, y: np.ndarray) -> float:
    def mean(values: np.ndarray) -> np.ndarray:
        return gaussian_filter(values, _SIGMA_PX, truncate=_TRUNCATE)

    mean_x, mean_y = mean(x), mean(y)
    var_x, var_y, both = mean(x * x) - mean_x**2, mean(y * y) - mean_y**2, mean(x * y) - mean_x * mean_y
    c1, c2 = _K1**2, _K2**2
    similarity = ((2 * mean_x * mean_y + c1) * (2 * both + c2)) / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    border = int(_TRUNCATE * _SIGMA_PX + 0.5)
    return float(similarity[border:-border, border:-border].mean())
