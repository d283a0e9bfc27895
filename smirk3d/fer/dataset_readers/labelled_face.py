"""A picture of a face and what it expresses, and the votes for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from smirk3d.fer.emotions import EMOTIONS
from smirk3d.fer.face_windows import WINDOW_PX, box_window, crop_window
from smirk3d.media.images import read_image

SPLITS = ("train", "val", "test")
UNUSABLE = ("unknown", "not_a_face")
"""Columns of FERPlus' votes besides `EMOTIONS`; a face for which one of them wins is left out."""


@dataclass(frozen=True, eq=False)
class LabelledFace:
    """A picture of a face and what it expresses.

    Attributes:
        key: Name within the data set.
        source: File, encoded bytes or pixels, for `smirk3d.media.images.read_image`.
        votes: (8,) float32 shares of `EMOTIONS`; their sum is 1.
        person: Name of the person; None where the data set does not state it.
        box_px: x0, y0, x1, y1 of the face in the picture; None where the whole picture is a face crop.
        place: Valence and arousal in [-1, 1] as rated; None where there are none.
    """

    key: str
    source: Path | bytes | np.ndarray
    votes: np.ndarray
    person: str | None = None
    box_px: tuple[float, float, float, float] | None = None
    place: tuple[float, float] | None = None

    @property
    def label(self) -> int:
        """Index of the emotion with most votes; of equal ones the first."""
        return int(self.votes.argmax())

    def window(self, side_px: int = WINDOW_PX) -> np.ndarray:
        """Read the picture, and return its window (S, S) uint8, see `smirk3d.fer.face_windows`.

        Args:
            side_px: Side of the window S.

        Raises:
            Smirk3dError: It cannot be read.
        """
        pixels = read_image(self.source).pixels
        return crop_window(pixels, side_px) if self.box_px is None else box_window(pixels, self.box_px, side_px)


def shares_of_votes(votes: Sequence[float]) -> np.ndarray | None:
    """Return the shares of the emotions (8,) float32, or None where the face is to be left out.

    Args:
        votes: Ten counts: `EMOTIONS`, then `UNUSABLE`.
    """
    counts = np.asarray(votes, dtype=np.float32)
    n_emotions = len(EMOTIONS)
    if counts[:n_emotions].max() <= counts[n_emotions:].max():
        return None
    return counts[:n_emotions] / counts[:n_emotions].sum()


def one_vote(index: int) -> np.ndarray:
    """Return the shares (8,) float32 of a single label."""
    votes = np.zeros(len(EMOTIONS), dtype=np.float32)
    votes[index] = 1
    return votes
