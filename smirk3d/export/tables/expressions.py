"""Expressions of several frames, as they are read from a file."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Expressions:
    """Expressions of N frames.

    Attributes:
        frames: Names of the N frames.
        arrays: Name as in `FaceParams`, or "arkit" -> (N, K) float32.
        head: Name of the head model of the coefficients; "" if the file does not state it.
        time_s: (N,) float64 times in seconds; None if the file has none.
        rate_fps: Frame rate that the file states; None if it states none.
        notes: Remarks for the user, as about what is in the file and not used, one line each.
    """

    frames: tuple[str, ...]
    arrays: dict[str, np.ndarray] = field(repr=False)
    head: str = ""
    time_s: np.ndarray | None = field(default=None, repr=False)
    rate_fps: float | None = None
    notes: tuple[str, ...] = ()
