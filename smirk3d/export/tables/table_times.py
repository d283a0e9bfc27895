"""Times of rows and frames from columns that programs call time, timestamp or alike, in the unit that they are in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime

import numpy as np

_UNIT_S = {"s": 1.0, "sec": 1.0, "secs": 1.0, "seconds": 1.0, "ms": 1e-3, "millis": 1e-3, "milliseconds": 1e-3}
_UNIT_S |= {"us": 1e-6, "usec": 1e-6, "microseconds": 1e-6, "ns": 1e-9, "nanoseconds": 1e-9}
_COLUMN = re.compile(
    rf"(?P<name>elapsed_?time|elapsed|frame_?time|time_?stamps?|times?|ts|t)(_?(?P<unit>{'|'.join(_UNIT_S)}))?"
    r"|(?P<alone>seconds|secs|milliseconds|millis|ms)"
)
"""Names of columns of times in lower case, alone or followed by a unit."""
_UNIT_BY_STEP = ((2.0, 1.0), (2e3, 1e-3), (2e6, 1e-6), (np.inf, 1e-9))
"""Largest step between two frames, and the unit in seconds that it speaks for: frames are 1 ms to 2 s apart."""
_LARGEST_START_S = 3600.0
"""Later first times are those of a clock; the motion then starts at 0."""
_CLOCK = re.compile(r"(?:(?P<hour>\d+):)?(?P<minute>\d{1,2}):(?P<second>\d{1,2}(?:[.,]\d+)?)")


def find_time_column(names: Iterable[str]) -> tuple[str, float | None] | None:
    """Return the column of times among lower-case names and its unit in seconds, None where the name states none.

    A column that states its unit is preferred; `time_s` to all others.
    """
    found = [(name, unit) for name in names if (unit := _unit(name)) is not False]
    ranked = sorted(found, key=lambda each: (each[0] != "time_s", each[1] is None))
    return ranked[0] if ranked else None


def _unit(name: str) -> float | bool | None:
    """Return the unit of a column of times in seconds, None for an unknown unit, False for another column."""
    match = _COLUMN.fullmatch(re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_"))
    return False if match is None else _UNIT_S.get(match["unit"] or match["alone"] or "")


def to_seconds(values: np.ndarray, unit_s: float | None) -> np.ndarray:
    """Return times in seconds.

    Args:
        values: (T,) times in the order of the frames.
        unit_s: Their unit in seconds; None determines it from the median step, by `_UNIT_BY_STEP`.

    Returns:
        (T,) float64; from the first frame if the first time is that of a clock.
    """
    times = np.asarray(values, dtype=np.float64)
    if unit_s is None:
        step = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
        unit_s = next(unit for limit, unit in _UNIT_BY_STEP if step < limit or limit == np.inf)
    start = times[0] if len(times) and not 0 <= times[0] * unit_s <= _LARGEST_START_S else 0.0
    return (times - start) * unit_s


def clock_times(texts: Sequence[str]) -> np.ndarray | None:
    """Return seconds (T,) from texts such as `00:01:02.5` or `2024-05-01T10:00:00.033`; None if one is no time."""
    times = [_clock_time(text) for text in texts]
    return None if not times or None in times else np.array(times, dtype=np.float64)


def _clock_time(text: str) -> float | None:
    if match := _CLOCK.fullmatch(text):
        second = float(match["second"].replace(",", "."))
        return int(match["hour"] or 0) * 3600 + int(match["minute"]) * 60 + second
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() if len(text) <= 40 else None
    except (ValueError, OverflowError, OSError):
        return None
