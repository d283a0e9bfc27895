"""Several views of an occluded face, and the mean of what is recognised in them.

What hides a face misleads recognition, and so does what is rebuilt: each view errs where others need not.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from smirk3d.fer.occlusion.patches import GRID


def erased(windows: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Return windows with their occluded patches in one grey, the mean of the visible pixels.

    The expression network has learned with rectangles of one grey before faces, and reads past them.

    Args:
        windows: (N, S, S) uint8; S is a multiple of 12.
        hidden: (N, 12, 12) bool, occluded patches; not all of a window.
    """
    area = _pixels(hidden, windows.shape[1])
    grey = np.mean(windows, axis=(1, 2), where=~area).round().astype(np.uint8)
    return np.where(area, grey[:, None, None], windows)


def mirrored(windows: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Return windows with each occluded patch from the other side of the face, reflected; erased where both are hidden.

    Source: Lee et al., "Latent-OFER", ICCV 2023, section 3.3, which takes features from there.

    Args:
        windows: As for `erased`.
        hidden: Likewise.
    """
    has_other_side = _pixels(hidden & ~hidden[:, :, ::-1], windows.shape[1])
    return np.where(has_other_side, windows[:, :, ::-1], erased(windows, hidden))


def mean_of_views(
    predict: Callable[[np.ndarray], np.ndarray], windows: np.ndarray, repaired: np.ndarray, hidden: np.ndarray
) -> np.ndarray:
    """Return the mean probabilities (N, C) of faces as they are, repaired, erased and mirrored.

    Of faces without occluded patches these are those of the face as it is.

    Args:
        predict: Returns the probabilities (N, C) of windows.
        windows: (N, S, S) uint8, N at least 1; faces as they are.
        repaired: (N, S, S) uint8, with occluded patches rebuilt.
        hidden: (N, 12, 12) bool, occluded patches, without those at which only edges run through; not all of a window.
    """
    probabilities = predict(windows)
    rows = np.flatnonzero(hidden.any(axis=(1, 2)))
    if not len(rows):
        return probabilities
    some, covered = windows[rows], hidden[rows]
    views = [predict(each) for each in (repaired[rows], erased(some, covered), mirrored(some, covered))]
    result = probabilities.copy()
    result[rows] = np.mean([probabilities[rows], *views], axis=0)
    return result


def _pixels(hidden: np.ndarray, side_px: int) -> np.ndarray:
    """Return which pixels (N, S, S) bool lie in occluded patches."""
    step = side_px // GRID
    return hidden.repeat(step, axis=1).repeat(step, axis=2)
