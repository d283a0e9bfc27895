"""The table of `smirk3d fer predict`, `emotions.csv`: one row per face, and one for each image that failed."""

from __future__ import annotations

import os
from dataclasses import astuple

from smirk3d.export.tables.expressions_csv import STATUS_OK, table_name
from smirk3d.fer.action_units import ACTION_UNITS
from smirk3d.fer.emotions import EMOTIONS
from smirk3d.fer.recognizer import FaceEmotion

EMOTION_COLUMNS: tuple[str, ...] = (
    *("image", "face", "status", "confidence", "x0", "y0", "x1", "y1", "yaw", "pitch", "roll"),
    *EMOTIONS,
    *("emotion", "valence", "arousal"),
    *ACTION_UNITS,
    *("visible_eyes", "visible_mouth", "visible_left", "visible_right"),
)
"""Columns in order: boxes in pixels, angles in degrees, probabilities and action units in [0, 1]."""


def emotion_row(image: str | os.PathLike[str], index: int, found: FaceEmotion) -> list[str]:
    """Return the cells of one face in the order of `EMOTION_COLUMNS`.

    Args:
        image: Path of the image.
        index: Index of the face in the image, from 0.
        found: Its expression.
    """
    face = found.face
    return [
        *(table_name(image), str(index), STATUS_OK, f"{face.confidence:.4f}"),
        *(f"{edge:.2f}" for edge in face.box_px),
        *(f"{angle:.3f}" for angle in face.angles_deg),
        *(f"{found.probabilities[name]:.5f}" for name in EMOTIONS),
        *(found.emotion, f"{found.valence:.4f}", f"{found.arousal:.4f}"),
        *(f"{found.action_units[name]:.4f}" for name in ACTION_UNITS),
        *(f"{share:.4f}" for share in astuple(face.visibility)),
    ]
