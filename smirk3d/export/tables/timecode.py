"""Time codes `HH:MM:SS:FF.sub` of recordings: seconds, frames within a second, and thousandths of a frame.

They do not state the frame rate. It follows from the last frame number before a change of the second.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from smirk3d.errors import UsageError

DAY_S = 86_400
_TIMECODE = re.compile(r"(?P<hour>\d+):(?P<minute>\d\d):(?P<second>\d\d)[:;](?P<frame>\d+(\.\d+)?)")
_COMMON_FPS = (24, 25, 30, 48, 50, 60, 100, 120, 240)


def has_timecodes(texts: Sequence[str]) -> bool:
    """Return whether any text is a time code."""
    return any(map(_TIMECODE.fullmatch, texts))


def times_of_timecodes(codes: Sequence[str]) -> np.ndarray | None:
    """Return the times of frames from their time codes; None where the frame rate cannot be determined.

    At a change of the second the frame number decreases by the frame rate minus the usual step between two frames. Most
    changes must agree on the frame rate, no frame number may exceed it, and the times must increase.

    Args:
        codes: Time code of each frame, in the order of the recording.

    Returns:
        (N,) float64 seconds from the first frame.
    """
    matches = [match for match in map(_TIMECODE.fullmatch, codes) if match]
    if len(matches) < len(codes) or not matches:
        return None
    second = _seconds(matches)
    frame = np.array([float(match["frame"]) for match in matches])
    within, changes = np.diff(second) == 0, np.flatnonzero(np.diff(second) == 1)
    if not len(changes) or not within.any():
        return None
    step = float(np.median(np.diff(frame)[within]))
    rates, votes = np.unique(np.round(frame[changes] - frame[changes + 1] + step), return_counts=True)
    rate_fps = rates[votes.argmax()]
    if 2 * votes.max() <= len(changes) or rate_fps <= np.floor(frame).max():
        return None
    time_s = second - second[0] + (frame - frame[0]) / rate_fps
    return time_s if (np.diff(time_s) > 0).all() else None


def assumed_rate(codes: Sequence[str]) -> float:
    """Return the rate of time codes that do not determine it, by the rule of Unreal's importer: 60 above frame 30."""
    return 60.0 if max(_frame_numbers(codes), default=0.0) > 30 else 30.0


def times_at_rate(codes: Sequence[str], rate_fps: float) -> np.ndarray | None:
    """Return the times of frames from their time codes at a rate, (N,) seconds from the first; None for other names."""
    matches = [match for match in map(_TIMECODE.fullmatch, codes) if match]
    if len(matches) < len(codes) or not matches:
        return None
    time_s = _seconds(matches) + np.array(_frame_numbers(codes)) / rate_fps
    return time_s - time_s[0] if (np.diff(time_s) > 0).all() else None


def _seconds(matches: Sequence[re.Match[str]]) -> np.ndarray:
    """Return the whole seconds of time codes (N,), which may run past midnight."""
    clock = [[int(match[name]) for name in ("hour", "minute", "second")] for match in matches]
    return np.unwrap(np.array(clock) @ (3600.0, 60.0, 1.0), period=DAY_S)


def _frame_numbers(codes: Sequence[str]) -> list[float]:
    return [float(match["frame"]) for match in map(_TIMECODE.fullmatch, codes) if match]


def check_timecodes(name: str, codes: Sequence[str], fps: float) -> None:
    """Check that the frame numbers of a recording are below its frame rate.

    Where its rows are several frame numbers apart, the rate of the rows is lower than that of the numbers.

    Args:
        name: Name of the file, for the error.
        codes: Names of the frames; those that are no time codes are ignored.
        fps: Assumed frame rate.

    Raises:
        UsageError: A frame number is too large.
    """
    numbers = _frame_numbers(codes)
    steps = [after - before for before, after in pairwise(numbers) if after > before]
    step = max(float(np.median(steps)), 1.0) if steps else 1.0
    max_frame = int(max(numbers, default=0))
    if max_frame >= fps * step:
        likely = next((common for common in _COMMON_FPS if common * step > max_frame), max_frame + 1)
        raise UsageError(f"{name}: its time codes count to frame {max_frame} of a second; give --fps {likely}")
