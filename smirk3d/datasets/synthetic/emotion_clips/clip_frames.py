"""The frames of a synthetic clip as crops of a face, with what they show."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

CROP_PX, CROP_SCALE = 160, 1.45
"""Side of the crops, about that of the encoder's, and over that of the landmarks' box."""


@dataclass(frozen=True, eq=False)
class ClipFrames:
    """T crops of a person.

    Attributes:
        pixels: (T, S, S, 3) uint8 RGB.
        points_px: (T, 478, 2) MediaPipe's landmarks, pixels of the crops.
        rotmat: (T, 3, 3) rotations from the head frame to the camera frame.
        weights: (T, 52) float32 ARKit weights in [0, 1] that they show.
        angles_deg: (T, 3) float32 yaw, pitch and roll.
    """

    pixels: np.ndarray = field(repr=False)
    points_px: np.ndarray = field(repr=False)
    rotmat: np.ndarray = field(repr=False)
    weights: np.ndarray = field(repr=False)
    angles_deg: np.ndarray = field(repr=False)
