"""Time codes `HH:MM:SS:FF.sub` of recordings: seconds, frames within a second, and thousandths of a frame.

They do not say how many frames a second has; their succession does, where it goes over from one second to the next.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from smirk3d.errors import UsageError

DAY_S = 86_400
_TIMECODE = re.compile(r"(?P<hour>\d+):(?P<minute>\d\d):(?P<second>\d\d)[:;](?P<frame>\d+(\.\d+)?)")
_COMMON_FPS = (24, 25, 30, 48, 50, 60, 100, 120, 240)


def has_timecodes(texts: Sequence[str]) -> bool:
    """Return whether any text is a time code."""
    return any(map(_TIMECODE.fullmatch, texts))


def times_of_timecodes(codes: Sequence[str]) -> np.ndarray | None:
    """Return the times (N,) float64 of time codes in seconds from the first; None where they do not tell.

    From the last frame of one second to the first of the next it is one usual step; so many frames a second has. Most
    changes of the second must agree in that, no frame may be beyond it, and times must rise.

    Args:
        codes: One a row, in the order of the recording.
    """
    found = [match for match in map(_TIMECODE.fullmatch, codes) if match]
    if len(found) < len(codes) or not found:
        return None
    clock = [[int(match[name]) for name in ("hour", "minute", "second")] for match in found]
    second = np.unwrap(np.array(clock) @ (3600.0, 60.0, 1.0), period=DAY_S)
    frame = np.array([float(match["frame"]) for match in found])
    within, turns = np.diff(second) == 0, np.flatnonzero(np.diff(second) == 1)
    if not len(turns) or not within.any():
        return None
    step = float(np.median(np.diff(frame)[within]))
    rates, votes = np.unique(np.round(frame[turns] - frame[turns + 1] + step), return_counts=True)
    rate_fps = rates[votes.argmax()]
    if 2 * votes.max() <= len(turns) or rate_fps <= np.floor(frame).max():
        return None
    time_s = second - second[0] + (frame - frame[0]) / rate_fps
    return time_s if (np.diff(time_s) > 0).all() else None


def check_timecodes(name: str, codes: Sequence[str], fps: float) -> None:
    """Refuse a recording that counts more frames a second than it would be played with.

    Raises:
        UsageError: So it is; `name` is that of the file.
    """
    found = [match for match in map(_TIMECODE.fullmatch, codes) if match]
    most = max((int(float(match["frame"])) for match in found), default=0)
    if most >= fps:
        likely = next((usual for usual in _COMMON_FPS if usual > most), most + 1)
        raise UsageError(f"{name}: its time codes count to frame {most} of a second; give --fps {likely}")
