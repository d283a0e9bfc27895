"""Yaw, pitch and roll of a head, and back.

yaw > 0: the subject turns to their own left; pitch > 0: the subject looks up; roll > 0: clockwise as seen in
the image. The head is first rolled, then pitched, then turned: `R = Ry(yaw) Rx(-pitch) Rz(-roll)`.
"""

from __future__ import annotations

import numpy as np


def rotation_from_angles(yaw_deg: float, pitch_deg: float, roll_deg: float) -> np.ndarray:
    """Return the (3, 3) rotation of the head for angles in degrees."""
    yaw, pitch, roll = np.deg2rad([yaw_deg, -pitch_deg, -roll_deg])
    cy, sy, cp, sp, cr, sr = (
        np.cos(yaw),
        np.sin(yaw),
        np.cos(pitch),
        np.sin(pitch),
        np.cos(roll),
        np.sin(roll),
    )
    around_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    around_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    around_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return around_y @ around_x @ around_z


def angles_from_rotation(rotmat: np.ndarray) -> tuple[float, float, float]:
    """Return (yaw, pitch, roll) in degrees of a (3, 3) rotation of the head; pitch in [-90, 90]."""
    pitch = np.arcsin(np.clip(rotmat[1, 2] * -1, -1, 1))
    yaw = np.arctan2(rotmat[0, 2], rotmat[2, 2])
    roll = np.arctan2(rotmat[1, 0], rotmat[1, 1])
    yaw, pitch, roll = np.rad2deg([yaw, -pitch, -roll])
    return float(yaw), float(pitch), float(roll)
