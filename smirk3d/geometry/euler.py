"""Yaw, pitch and roll of a head, and back.

yaw > 0: the subject turns to their own left; pitch > 0: the subject looks up; roll > 0: clockwise as seen in the
image. The rotations are applied in the order roll, pitch, yaw: `R = Ry(yaw) Rx(-pitch) Rz(-roll)`.
"""

# The stubs of torch, NumPy and trimesh leave some types unknown; everything else is checked strictly.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import numpy as np


def rotation_from_angles(yaw_deg: float, pitch_deg: float, roll_deg: float) -> np.ndarray:
    """Return the rotation of a head, head frame to camera frame.

    Args:
        yaw_deg: Degrees.
        pitch_deg: Degrees.
        roll_deg: Degrees.

    Returns:
        (3, 3) float64.
    """
    yaw, pitch, roll = np.deg2rad([yaw_deg, -pitch_deg, -roll_deg])
    cy, sy = np.cos(yaw), np.sin(yaw)
    cp, sp = np.cos(pitch), np.sin(pitch)
    cr, sr = np.cos(roll), np.sin(roll)
    around_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    around_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    around_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return around_y @ around_x @ around_z


def angles_from_rotation(rotmat: np.ndarray) -> tuple[float, float, float]:
    """Return yaw, pitch and roll of a head; the inverse of `rotation_from_angles`.

    Args:
        rotmat: (3, 3) float, head frame to camera frame.

    Returns:
        Degrees: yaw and roll in [-180, 180], pitch in [-90, 90].
    """
    # Rounding may leave the sine of the pitch slightly outside [-1, 1].
    pitch = np.arcsin(np.clip(rotmat[1, 2] * -1, -1, 1))
    yaw = np.arctan2(rotmat[0, 2], rotmat[2, 2])
    roll = np.arctan2(rotmat[1, 0], rotmat[1, 1])
    yaw, pitch, roll = np.rad2deg([yaw, -pitch, -roll])
    return float(yaw), float(pitch), float(roll)
