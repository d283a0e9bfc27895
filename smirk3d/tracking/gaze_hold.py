"""Gaze while the eyes blink, when nobody can see it: what it was before goes over into what it is afterwards."""

from __future__ import annotations

import numpy as np

CLOSED_EYE_WEIGHT = 0.35
"""A lid that is so far down hides where the eye looks."""
MAX_BLINK_S = 0.4
"""Longest closure that is bridged: in a longer one eyes may have been lowered to read."""


def interpolate_gaze_through_blinks(gaze: np.ndarray, blink: np.ndarray, time_s: np.ndarray) -> np.ndarray:
    """Return an eye's gaze with blinks bridged in straight lines; at the ends of a clip it is held.

    Args:
        gaze: (T, C) weights or angles of one eye. blink: (T,) in [0, 1], its `eyeBlink`. time_s: (T,) increasing.
    """
    is_open = blink < CLOSED_EYE_WEIGHT
    edges = np.flatnonzero(np.diff(is_open.astype(int), prepend=1, append=1))  # first frames shut, then first ones open
    for start, stop in zip(edges[::2], edges[1::2]):
        if time_s[stop - 1] - time_s[start] > MAX_BLINK_S:
            is_open[start:stop] = True
    if is_open.all() or not is_open.any():
        return gaze
    return np.stack([np.interp(time_s, time_s[is_open], column[is_open]) for column in gaze.T], axis=1)
