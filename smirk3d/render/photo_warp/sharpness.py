"""How blurred a photo is, so that what is drawn into it is no sharper."""

from __future__ import annotations

import numpy as np
from torch import Tensor

_REBLUR_PX = 1.0
_EDGES = 0.02
"""Share of the pixels that count as edges: those with the largest steps."""
_LARGEST_PX = 4.0


def blur_px(photo: Tensor, where: Tensor) -> float:
    """Return the standard deviation in pixels of the Gaussian by which a photo's edges are blurred.

    An edge whose blur is s has gradients that fall by sqrt(s² + r²) / s where it is blurred again by r.

    Source: Zhuo and Sim, "Defocus map estimation from a single image" (Pattern Recognition, 2011).

    Args:
        photo: (3, S, S) in [0, 1].
        where: (S, S) bool, pixels that count.
    """
    import cv2

    grey = photo.mean(0).numpy()
    again = cv2.GaussianBlur(grey, (0, 0), _REBLUR_PX)
    steps, less = (np.hypot(*np.gradient(each))[where.numpy()] for each in (grey, again))
    if not steps.size or steps.max() <= 0:
        return _LARGEST_PX
    edges = steps >= np.quantile(steps, 1 - _EDGES)
    ratio = float(np.median(steps[edges] / np.maximum(less[edges], 1e-6)))
    return float(np.clip(_REBLUR_PX / np.sqrt(max(ratio**2 - 1, 1e-3)), 0.0, _LARGEST_PX))
