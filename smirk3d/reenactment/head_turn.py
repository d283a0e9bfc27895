"""Rotations of the head that moving a photo's pixels can show."""

from __future__ import annotations

import numpy as np

from smirk3d.geometry.euler import angles_from_rotation, rotation_from_angles

MAX_TURN_DEG = (10.0, 10.0, 15.0)
"""Largest change of yaw, pitch and roll against the photo: beyond them the photo lacks too much of the face."""


def limited_rotation(rotation: np.ndarray, photo_rotation: np.ndarray) -> tuple[np.ndarray, bool]:
    """Return a rotation near that of the photo.

    Args:
        rotation: (3, 3) wanted, head frame to camera frame.
        photo_rotation: (3, 3) of the photo.

    Returns:
        (3, 3), whose change of yaw, pitch and roll is at most `MAX_TURN_DEG`, and whether it had to be limited.
    """
    turn = np.array(angles_from_rotation(rotation @ photo_rotation.T))
    limited = turn.clip(-np.array(MAX_TURN_DEG), MAX_TURN_DEG)
    if np.abs(limited - turn).max() < 1e-6:
        return rotation, False
    return rotation_from_angles(*limited.tolist()) @ photo_rotation, True
