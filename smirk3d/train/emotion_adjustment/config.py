"""Configuration of the adjustment to rare emotions; the documentation of a key is at its field."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from smirk3d.datasets.config_checks import check, check_within


@dataclass(frozen=True)
class AdjustmentDataConfig:
    """Where the faces are.

    Raises:
        ValueError: A value is out of its range.
    """

    ferplus: Path
    """Folder of FERPlus with the splits train and val, or fer2013.csv; see `smirk3d.fer.datasets`."""
    max_faces: int | None = None
    """At most so many faces of each split; null: all."""

    def __post_init__(self) -> None:
        if self.max_faces is not None:
            check_within(self, 10, math.inf, "max_faces")


@dataclass(frozen=True, kw_only=True)
class AdjustmentConfig:
    """A run that adjusts an expression network to rare emotions.

    Raises:
        ValueError: A value is out of its range.
    """

    kind: Literal["emotion_adjustment"] = "emotion_adjustment"
    """What the run does."""
    data: AdjustmentDataConfig
    """Where the faces are."""
    out_dir: Path = Path("out/fer_emotions")
    """Folder of the run."""
    seed: int = 0
    """Seed of the training faces by which the strength is chosen."""
    init: Path | None = None
    """The trained expression network; null: the packaged one. The bias of its emotions and its temperature change."""
    part: float = 0.5
    """Share of the training faces by which the strength is chosen."""
    strengths: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    """Candidates; 0: no adjustment, 1: rare emotions are as probable as those of average frequency."""
    largest_cost: float = 0.5
    """Accuracy in per cent that the adjustment may cost on these faces."""
    threads: int = 1
    """Threads of the run."""

    def __post_init__(self) -> None:
        check_within(self, 0.01, 1, "part")
        check_within(self, 0, 100, "largest_cost")
        check_within(self, 1, math.inf, "threads")
        within = bool(self.strengths) and all(0 <= each <= 1 for each in self.strengths)
        check(self, "strengths", within, "numbers in [0, 1]")
