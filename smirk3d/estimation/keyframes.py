"""The records of a person from which the identity is estimated."""

from __future__ import annotations

import numpy as np

VIEW_BIN_DEG = 10.0
"""Width of a bin of yaw angles; frames in one bin count as one view."""
MAX_KEYFRAMES_PER_VIEW = 4
MAX_KEYFRAMES = 32
MAX_CANDIDATES = 1024
"""Records that are considered, spread evenly over a track."""


def thinned(count: int, limit: int = MAX_CANDIDATES) -> slice:
    """Return evenly spread rows: all below twice `limit`, else at least `limit` and fewer than twice."""
    return slice(None, None, max(1, count // limit))


def select_neutral_keyframes(angles_deg: np.ndarray, activity: np.ndarray) -> np.ndarray:
    """Return the frames with the least expression of each view.

    Different views constrain the shape from all sides, and a nearly neutral face leaves little of the deformation to
    the expression that could be mistaken for identity.

    Args:
        angles_deg: (N, 3) yaw, pitch and roll, degrees.
        activity: (N,) strength of the expression, e.g. the sum of the ARKit weights.

    Returns:
        (K,) int64 indices, ascending; at most `MAX_KEYFRAMES`.
    """
    views = np.floor(angles_deg[:, 0] / VIEW_BIN_DEG + 0.5).astype(int)
    order = np.argsort(activity, kind="stable")
    ranks = np.empty(len(order), dtype=int)
    for view in np.unique(views):
        members = order[views[order] == view]
        ranks[members] = np.arange(len(members))
    # The best frame of every view comes first, then every view's second best, and so on.
    best = np.lexsort((activity, ranks))
    return np.sort(best[ranks[best] < MAX_KEYFRAMES_PER_VIEW][:MAX_KEYFRAMES])
