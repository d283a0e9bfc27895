"""Frames in which a face was not found: short gaps are bridged, long ones stay gaps."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import roma
import torch

from smirk3d.track import Status
from smirk3d.tracking.motion import Motion
from smirk3d.tracking.whittaker_smoother import unwrap_rotvecs


def frame_statuses(seen: np.ndarray, time_s: np.ndarray, max_gap_s: float) -> np.ndarray:
    """Return the `Status` (T,) uint8 of frames.

    Args:
        seen: (T,) bool, whether the face was found; true at both ends.
        time_s: (T,) when the frames are shown.
        max_gap_s: Longest time between two observations that is bridged.
    """
    result = np.where(seen, Status.SEEN, Status.FILLED).astype(np.uint8)
    sighted = np.flatnonzero(seen)
    for before, after in pairwise(sighted):
        if time_s[after] - time_s[before] > max_gap_s and after > before + 1:
            result[before + 1 : after] = Status.LOST
    return result


def interpolate_gaps(motion: Motion, seen: np.ndarray, time_s: np.ndarray) -> Motion:
    """Return the motion (T frames) that goes evenly from one observation to the next.

    Args:
        motion: K observations. seen: (T,) bool with K true. time_s: (T,).
    """
    known_s = time_s[seen]

    def between(values: np.ndarray) -> np.ndarray:
        columns = values.reshape(len(values), -1).T
        return np.stack([np.interp(time_s, known_s, column) for column in columns], 1).reshape(-1, *values.shape[1:])

    middle = motion.rotmat[len(motion) // 2]
    turns = unwrap_rotvecs(roma.rotmat_to_rotvec(torch.from_numpy(motion.rotmat @ middle.T)).numpy())
    even = motion.replace(rotmat=turns).each(between)
    return even.replace(rotmat=roma.rotvec_to_rotmat(torch.from_numpy(even.rotmat)).numpy() @ middle)
