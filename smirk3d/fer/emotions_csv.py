"""The table of `smirk3d fer predict`, `emotions.csv`: one row per face, and one for each image that failed."""

from __future__ import annotations

import os

from smirk3d.fer.action_units import ACTION_UNITS
from smirk3d.fer.emotion_record import EmotionRecord, EmotionValues, photo_record
from smirk3d.fer.emotions import EMOTIONS
from smirk3d.fer.recognizer import FaceEmotion

_VALUE_COLUMNS: tuple[str, ...] = (
    *("confidence", "x0", "y0", "x1", "y1", "yaw", "pitch", "roll"),
    *EMOTIONS,
    *("emotion", "valence", "arousal"),
    *ACTION_UNITS,
    *("visible_eyes", "visible_mouth", "visible_left", "visible_right"),
    "occluded",
)
EMOTION_COLUMNS: tuple[str, ...] = ("image", "face", "status", *_VALUE_COLUMNS)
"""Columns in order: boxes in pixels, angles in degrees, probabilities, action units and shares in [0, 1]."""
CLIP_EMOTION_COLUMNS: tuple[str, ...] = ("image", "face", "frame", "time_s", "track", "status", *_VALUE_COLUMNS)
"""Columns where there are videos; `frame`, `time_s` and `track` are empty in the rows of photos."""


def emotion_row(image: str | os.PathLike[str], index: int, found: FaceEmotion) -> list[str]:
    """Return the cells of one face in the order of `EMOTION_COLUMNS`.

    Args:
        image: Path of the image.
        index: Index of the face in the image, from 0.
        found: Its expression.
    """
    return record_cells(photo_record(image, index, found))


def record_cells(record: EmotionRecord, with_frames: bool = False) -> list[str]:
    """Return the cells of one face.

    Args:
        record: The face.
        with_frames: In the order of `CLIP_EMOTION_COLUMNS` instead of `EMOTION_COLUMNS`.
    """
    place = [record.name, "" if record.face is None else str(record.face)]
    if with_frames and record.time_s is None:
        place += ["", "", ""]
    elif with_frames:
        place += [str(record.picture), f"{record.time_s:.6f}", str(record.track)]
    values = [""] * len(_VALUE_COLUMNS) if record.values is None else _value_cells(record.values)
    return [*place, record.status, *values]


def _value_cells(values: EmotionValues) -> list[str]:
    return [
        f"{values.confidence:.4f}",
        *(f"{edge:.2f}" for edge in values.box_px),
        *(f"{angle:.3f}" for angle in values.angles_deg),
        *(f"{value:.5f}" for value in values.probabilities),
        *(values.emotion, f"{values.valence:.4f}", f"{values.arousal:.4f}"),
        *(f"{values.action_units[name]:.4f}" for name in ACTION_UNITS),
        *(f"{share:.4f}" for share in values.visibility),
        "" if values.occluded is None else f"{values.occluded:.4f}",
    ]
