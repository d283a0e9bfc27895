"""Expression vectors of labelled photos, from which clips without pictures take the vectors of their frames.

The expression network is far more accurate on photographed faces than on rendered ones. In such a clip a face without
emotion and one with it, of different people, are mixed by the intensity of the emotion over time.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from smirk3d.datasets.synthetic.emotion_clips.clip_set import ClipTruth
from smirk3d.datasets.synthetic.emotion_clips.estimation_noise import correlated
from smirk3d.datasets.synthetic.emotion_clips.motion import NEUTRAL
from smirk3d.errors import Smirk3dError
from smirk3d.fer.datasets import read_labelled
from smirk3d.fer.emotions import EMOTIONS
from smirk3d.fer.vectors import expressions_of
from smirk3d.train.expression_vector.data import windows_of

FACES_OF_EMOTION = 200
"""At most so many faces of each emotion are read."""
MIN_SHARE = 0.6
"""Least share of the votes for a face's emotion."""
NOISE = 0.15
"""Standard deviation of the change of a vector from frame to frame, over that of vectors from face to face."""


@dataclass(frozen=True, eq=False)
class PhotoVectors:
    """Expression vectors of faces.

    Attributes:
        of_emotion: For each of `EMOTIONS` (N, 256) float32.
    """

    of_emotion: tuple[np.ndarray, ...]

    def of_clips(self, truth: ClipTruth, rng: np.random.Generator) -> np.ndarray:
        """Return the vectors (N, T, 256) float32 of the frames of clips.

        Args:
            truth: Of N clips of T frames.
            rng: Of the faces and of the noise.
        """
        neutral, emotional = (
            np.stack([self._random(emotion, rng) for emotion in emotions])
            for emotions in (np.full_like(truth.emotion, NEUTRAL), truth.emotion)
        )
        mixed = neutral[:, None] + truth.envelope.clip(0, 1)[..., None] * (emotional - neutral)[:, None]
        spread = np.concatenate(self.of_emotion).std(axis=0)
        clips, frames, features = mixed.shape
        return (mixed + NOISE * spread * correlated(clips, frames, features, rng)).astype(np.float32)

    def _random(self, emotion: int, rng: np.random.Generator) -> np.ndarray:
        vectors = self.of_emotion[emotion]
        return vectors[rng.integers(len(vectors))]


def photo_vectors(root: Path, expression: Path | None, seed: int, split: str = "train") -> PhotoVectors:
    """Read the vectors of labelled faces.

    Args:
        root: See `smirk3d.fer.datasets.read_labelled`.
        expression: Weights of the expression network; None: the packaged ones.
        seed: Of the choice of faces.
        split: Split of the data set.

    Raises:
        Smirk3dError: The data cannot be read, or has no clear face of an emotion.
    """
    faces, rng = read_labelled(root, split), np.random.default_rng([seed, 9])
    found = []
    for emotion, name in enumerate(EMOTIONS):
        clear = [face for face in faces if face.label == emotion and face.votes[emotion] >= MIN_SHARE]
        if not clear:
            raise Smirk3dError(f"{root}: has no clear face of {name} in the split {split}; leave data.photos out")
        chosen = [clear[k] for k in rng.permutation(len(clear))[:FACES_OF_EMOTION]]
        found.append(expressions_of(windows_of(chosen).pixels.numpy(), expression).vectors)
    return PhotoVectors(tuple(found))
