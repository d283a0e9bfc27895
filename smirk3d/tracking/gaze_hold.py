"""Gaze during blinks: while the lids cover the eye, its gaze is interpolated."""

from __future__ import annotations

import numpy as np

CLOSED_EYE_WEIGHT = 0.35
"""From this `eyeBlink` weight on, the lid covers so much of the iris that the gaze cannot be measured."""
MAX_BLINK_S = 0.4
"""Longest closure that is interpolated. In a longer one the eyes may be lowered, as to read, and still be visible."""


def interpolate_gaze_through_blinks(gaze: np.ndarray, blink: np.ndarray, time_s: np.ndarray) -> np.ndarray:
    """Return the gaze (T, C) of one eye, linearly interpolated through blinks and held at the ends of the clip.

    Args:
        gaze: (T, C) weights or angles of the eye.
        blink: (T,) its `eyeBlink` weight in [0, 1].
        time_s: (T,) in seconds, increasing.
    """
    is_open = blink < CLOSED_EYE_WEIGHT
    # Indices alternate: the first closed frame of a closure, then the first open frame after it.
    edges = np.flatnonzero(np.diff(is_open.astype(int), prepend=1, append=1))
    for start, stop in zip(edges[::2], edges[1::2]):
        if time_s[stop - 1] - time_s[start] > MAX_BLINK_S:
            is_open[start:stop] = True
    if is_open.all() or not is_open.any():
        return gaze
    return np.stack([np.interp(time_s, time_s[is_open], column[is_open]) for column in gaze.T], axis=1)
