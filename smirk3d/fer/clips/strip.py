"""Strips of thumbnails: how a face moves through a clip, and which part of it is the key expression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from smirk3d.fer.clips.recognizer import ClipEmotion
from smirk3d.viz.contact_sheet import contact_sheet

MAX_STRIPS = 60
"""Most strips of a sheet."""
N_THUMBNAILS = 10
_KEY_COLOR, _FRAME_PX, _CAPTION_LETTERS = (232, 119, 34), 3, 90


@dataclass(frozen=True, eq=False)
class Strip:
    """One clip of a sheet.

    Attributes:
        caption: A line of text.
        pixels: (H, W, 3) uint8 RGB.
    """

    caption: str
    pixels: np.ndarray


def clip_strip(name: str, found: ClipEmotion) -> Strip:
    """Draw a clip as a row of thumbnails; those of the key expression are framed.

    Args:
        name: Name of the clip; of a long one the end is kept.
        found: Its emotion.
    """
    key = "" if found.key_s is None else f", key {found.key_s[0]:.1f} to {found.key_s[2]:.1f} s"
    name = name if len(name) <= _CAPTION_LETTERS // 2 else f"…{name[1 - _CAPTION_LETTERS // 2 :]}"
    probability = found.probabilities[found.emotion]
    caption = f"{name}: {found.emotion} {probability:.2f}{key}, agreement {found.agreement:.2f}"
    span_s = None if found.key_s is None else (found.key_s[0], found.key_s[2])
    return Strip(caption, thumbnail_row(found.clip.thumbnails, found.clip.thumbnail_s, span_s))


def thumbnail_row(thumbnails: np.ndarray, times_s: np.ndarray, span_s: tuple[float, float] | None) -> np.ndarray:
    """Return up to `N_THUMBNAILS` evenly spaced thumbnails side by side.

    Args:
        thumbnails: (K, S, S, 3) uint8, at least one.
        times_s: (K,) their times.
        span_s: Of the key expression, whose thumbnails are framed; None: there is none.

    Returns:
        (S, W, 3) uint8 RGB.
    """
    chosen = np.unique(np.linspace(0, len(thumbnails) - 1, min(N_THUMBNAILS, len(thumbnails))).round().astype(int))
    row = []
    for k in chosen:
        picture = thumbnails[k].copy()
        if span_s is not None and span_s[0] <= times_s[k] <= span_s[1]:
            inner = picture[_FRAME_PX:-_FRAME_PX, _FRAME_PX:-_FRAME_PX].copy()
            picture[:] = _KEY_COLOR
            picture[_FRAME_PX:-_FRAME_PX, _FRAME_PX:-_FRAME_PX] = inner
        row.append(picture)
    return np.concatenate(row, axis=1)


def strip_sheet(strips: Sequence[Strip]) -> np.ndarray:
    """Arrange strips below each other, each with its caption; at least one.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    return contact_sheet([each.pixels for each in strips], [each.caption for each in strips], 1)
