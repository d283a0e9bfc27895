"""What is known of one face of a photo, or of a frame of a video, in whatever layout it is written."""

from __future__ import annotations

import os
from dataclasses import astuple, dataclass

import numpy as np

from smirk3d.export.tables.expressions_csv import STATUS_OK, table_name
from smirk3d.face import Face
from smirk3d.fer.emotions import EMOTIONS
from smirk3d.fer.recognizer import FaceEmotion


@dataclass(frozen=True, eq=False)
class EmotionValues:
    """The numbers of a face.

    Attributes:
        confidence: In [0, 1].
        box_px: (4,) x0, y0, x1, y1 of the landmarks in pixels.
        angles_deg: Yaw, pitch and roll; signs as in `smirk3d.geometry.euler`.
        probabilities: (8,) calibrated probabilities of `smirk3d.fer.emotions.EMOTIONS`.
        valence: In [-1, 1].
        arousal: In [-1, 1].
        action_units: Action unit -> strength in [0, 1], see `smirk3d.fer.action_units`.
        visibility: Visible shares of the regions of `smirk3d.face.Visibility`, in their order.
        face: The head; None where no layout needs its landmarks.
        occluded: Occluded share of the window, which was rebuilt; None where it was not looked for.
    """

    confidence: float
    box_px: np.ndarray
    angles_deg: tuple[float, float, float]
    probabilities: np.ndarray
    valence: float
    arousal: float
    action_units: dict[str, float]
    visibility: tuple[float, ...]
    face: Face | None = None
    occluded: float | None = None

    @property
    def emotion(self) -> str:
        """The most probable emotion."""
        return EMOTIONS[int(self.probabilities.argmax())]


@dataclass(frozen=True, eq=False)
class EmotionRecord:
    """One face, and where it was found.

    Attributes:
        name: Name of the photo or the video, as in the table.
        face: Index of the face in its picture, from 0, the largest one first.
        status: "ok"; in videos also "filled" for short gaps, and "lost", where nothing is known.
        image_size: Width and height of the picture in pixels.
        values: The numbers; None where the face was lost.
        picture: Index of the photo among those of the run, or of the frame in its video, from 0.
        time_s: Time of the frame in seconds; None for photos.
        track: Number of the person in the video; None for photos.
    """

    name: str
    face: int | None
    status: str
    image_size: tuple[int, int]
    values: EmotionValues | None
    picture: int = 0
    time_s: float | None = None
    track: int | None = None


def photo_record(image: str | os.PathLike[str], index: int, found: FaceEmotion, picture: int = 0) -> EmotionRecord:
    """Return the record of a face of a photo.

    Args:
        image: Path of the photo.
        index: Index of the face in it, from 0.
        found: Its expression.
        picture: See `EmotionRecord`.
    """
    face = found.face
    values = EmotionValues(
        confidence=face.confidence,
        box_px=face.box_px,
        angles_deg=face.angles_deg,
        probabilities=np.array([found.probabilities[name] for name in EMOTIONS]),
        valence=found.valence,
        arousal=found.arousal,
        action_units=found.action_units,
        visibility=astuple(face.visibility),
        face=face,
        occluded=found.occluded,
    )
    return EmotionRecord(table_name(image), index, STATUS_OK, face.image_size, values, picture)
