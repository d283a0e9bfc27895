"""Labelled clips on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Part = Literal["train", "test"]


@dataclass(frozen=True)
class LabelledClip:
    """A clip and its emotion.

    Attributes:
        name: Name within the data set.
        path: A video file, or a folder with its frames.
        label: Index of `smirk3d.fer.emotions.EMOTIONS`.
    """

    name: str
    path: Path
    label: int
