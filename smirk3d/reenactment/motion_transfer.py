"""The motion of one person on another: absolute, or as the change from the most neutral moment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from smirk3d.face import Face
from smirk3d.head.arkit import ANTAGONISTS, ARKIT_NAMES, GAZE_NAMES
from smirk3d.reenactment.driving import Driving
from smirk3d.reenactment.head_turn import limited_rotation

_IS_GAZE = np.array([name in GAZE_NAMES for name in ARKIT_NAMES])


@dataclass(frozen=True, eq=False)
class TransferredMotion:
    """What a person is to show.

    Attributes:
        weights: (T, 52) in [0, 1].
        rotations: (T, 3, 3) head frame to camera frame.
        limited: (T,) bool, where the head would have turned further than the photo allows.
    """

    weights: np.ndarray
    rotations: np.ndarray
    limited: np.ndarray


def transfer_motion(driving: Driving, face: Face, *, relative: bool) -> TransferredMotion:
    """Return the motion for the person of a photo.

    Args:
        driving: The motion.
        face: The face in the photo.
        relative: Add the change from the driving's most neutral frame to what the photo shows; otherwise weights and
            rotations are those of the driving.
    """
    own = np.array([face.arkit[name] for name in ARKIT_NAMES])
    weights, rotations = driving.weights, driving.rotations
    reference = neutral_frame(weights)
    if relative:
        weights = added_change(own, weights - weights[reference])
    if rotations is None:
        return TransferredMotion(weights, np.tile(face.rotation, (len(weights), 1, 1)), np.zeros(len(weights), bool))
    if relative:
        rotations = rotations @ rotations[reference].T @ face.rotation
    turned = [limited_rotation(rotation, face.rotation) for rotation in rotations]
    return TransferredMotion(weights, np.stack([each for each, _ in turned]), np.array([flag for _, flag in turned]))


def neutral_frame(weights: np.ndarray) -> int:
    """Return the frame of weights (T, 52) with the least expression, the gaze apart."""
    return int(weights[:, ~_IS_GAZE].sum(axis=1).argmin())


def added_change(own: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Return weights (T, 52) of a face with weights (52,) plus changes (T, 52), in [0, 1].

    What an action would fall below 0 is given to its antagonist, as of looking left to looking right.
    """
    total = own + change
    for a, b in ANTAGONISTS:
        below_a, below_b = (-total[:, a]).clip(0), (-total[:, b]).clip(0)
        total[:, a] += below_b
        total[:, b] += below_a
    return total.clip(0, 1)
