"""The eight emotions, and their places on the circumplex of valence and arousal."""

from __future__ import annotations

import numpy as np

EMOTIONS: tuple[str, ...] = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
"""Names of the classes, in the order of all probabilities."""

CIRCUMPLEX: dict[str, tuple[float, float]] = {
    "neutral": (0.0, 0.0),
    "happiness": (0.8, 0.3),
    "surprise": (0.2, 0.7),
    "sadness": (-0.7, -0.4),
    "anger": (-0.6, 0.6),
    "disgust": (-0.7, 0.3),
    "fear": (-0.5, 0.7),
    "contempt": (-0.6, 0.2),
}
"""Valence and arousal of a clear expression of each emotion, in [-1, 1].

Rounded places in the order that Russell, "A Circumplex Model of Affect" (1980), gives; they were not fitted to ratings.
"""

ALIASES: dict[str, str] = {
    "happy": "happiness",
    "joy": "happiness",
    "surprised": "surprise",
    "sad": "sadness",
    "angry": "anger",
    "disgusted": "disgust",
    "fearful": "fear",
    "afraid": "fear",
    "calm": "neutral",
}
"""Other names of the classes in data sets."""


def emotion_index(name: str) -> int:
    """Return the index of an emotion in `EMOTIONS`; capitals do not matter, and `ALIASES` are known.

    Raises:
        ValueError: There is no such emotion.
    """
    known = name.strip().lower()
    known = ALIASES.get(known, known)
    if known not in EMOTIONS:
        raise ValueError(f"{name!r} is none of the emotions {', '.join(EMOTIONS)}")
    return EMOTIONS.index(known)


def valence_arousal(probabilities: np.ndarray) -> np.ndarray:
    """Return the expected place on the circumplex.

    Args:
        probabilities: (..., 8) of `EMOTIONS`.

    Returns:
        (..., 2) valence and arousal in [-1, 1].
    """
    return probabilities @ np.array([CIRCUMPLEX[name] for name in EMOTIONS], dtype=probabilities.dtype)
