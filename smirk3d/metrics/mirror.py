"""Equivariance of predictions under mirroring."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def mirror_difference(weights: np.ndarray, of_mirrored: np.ndarray, mirror: Sequence[int]) -> np.ndarray:
    """Return how much each weight changes when the photo is mirrored, mean over the photos.

    Args:
        weights: (N, K) blendshape weights of photos, in [0, 1].
        of_mirrored: (N, K) those of their mirror images.
        mirror: K indices; `weights[:, mirror]` are the weights of the mirrored face.

    Returns:
        (K,) mean absolute differences in [0, 1], left and right exchanged.
    """
    return np.abs(weights - of_mirrored[:, list(mirror)]).mean(axis=0)
