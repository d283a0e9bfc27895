"""Frames without a detection: short gaps of a track are interpolated, long ones stay gaps."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch

from smirk3d.geometry.rotations import rotmat_to_rotvec, rotvec_to_rotmat
from smirk3d.track import Status
from smirk3d.tracking.motion import HeadMotion
from smirk3d.tracking.whittaker_smoother import unwrap_rotvecs


def frame_statuses(is_detected: np.ndarray, time_s: np.ndarray, max_gap_s: float) -> np.ndarray:
    """Return the `Status` of each frame of a track, (T,) uint8.

    Args:
        is_detected: (T,) bool, whether the face was detected; true at both ends.
        time_s: (T,) when the frames are shown, in seconds.
        max_gap_s: Longest time between two detections that is interpolated, in seconds. Sensible: 0.2 to 1.
    """
    result = np.where(is_detected, Status.SEEN, Status.FILLED).astype(np.uint8)
    for before, after in pairwise(np.flatnonzero(is_detected)):
        if time_s[after] - time_s[before] > max_gap_s and after > before + 1:
            result[before + 1 : after] = Status.LOST
    return result


def interpolate_gaps(motion: HeadMotion, is_detected: np.ndarray, time_s: np.ndarray) -> HeadMotion:
    """Return the motion of all T frames, linear in time between detections.

    Args:
        motion: K detections.
        is_detected: (T,) bool, K of them true.
        time_s: (T,) when the frames are shown, in seconds.
    """
    detected_s = time_s[is_detected]

    def interpolate(values: np.ndarray) -> np.ndarray:
        columns = values.reshape(len(values), -1).T
        curves = [np.interp(time_s, detected_s, column) for column in columns]
        return np.stack(curves, 1).reshape(-1, *values.shape[1:])

    # Rotation matrices cannot be interpolated by element; rotation vectors relative to a frame of the track can.
    middle = motion.rotmat[len(motion) // 2]
    rotvecs = unwrap_rotvecs(rotmat_to_rotvec(torch.from_numpy(motion.rotmat @ middle.T)).numpy())
    filled = motion.replace(rotmat=rotvecs).map_arrays(interpolate)
    return filled.replace(rotmat=rotvec_to_rotmat(torch.from_numpy(filled.rotmat)).numpy() @ middle)
