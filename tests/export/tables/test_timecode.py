"""Frame rates of time codes follow from the frame numbers at changes of the second."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smirk3d.errors import UsageError
from smirk3d.export.tables.livelink import timecode
from smirk3d.export.tables.timecode import check_timecodes, has_timecodes, times_of_timecodes


@given(st.integers(2, 240), st.floats(0, 86_399), st.integers(2, 4))
def test_any_frame_rate_and_start(rate_fps: int, start_s: float, seconds: int) -> None:
    """Recordings may run past midnight."""
    time_s = np.arange(seconds * rate_fps) / rate_fps
    found = times_of_timecodes([timecode(time, rate_fps, start_s) for time in time_s])
    assert found is not None
    np.testing.assert_allclose(found, time_s, atol=1e-3)


def test_uneven_steps_and_dropped_frames() -> None:
    frames = np.delete(np.arange(200), [7, 31, 32, 33, 150]) + np.random.default_rng(0).uniform(-0.2, 0.2, 195)
    found = times_of_timecodes([timecode(frame / 60, 60, 1000) for frame in frames])
    assert found is not None
    np.testing.assert_allclose(found, (frames - frames[0]) / 60, atol=1e-4)


def test_rows_of_every_other_frame() -> None:
    found = times_of_timecodes([timecode(frame / 60, 60) for frame in range(0, 300, 2)])
    assert found is not None
    np.testing.assert_allclose(np.diff(found), 1 / 30, atol=1e-6)


@pytest.mark.parametrize(
    "codes",
    [
        [],
        ["00:00:00:00.000"],
        [f"00:00:00:{k:02d}.000" for k in range(20)],  # within one second
        [f"00:00:{k:02d}:00.000" for k in range(20)],  # one a second
        ["00:00:00:23.0", "00:00:00:24.0", "00:00:01:00.0", "frame 4"],
        ["10:20:30:58.0", "10:20:30:59.0", "10:20:30:00.0", "10:20:30:01.0"],  # back, in the same second
        [f"00:00:00:{k:02d}.0" for k in range(25)] + ["00:00:01:00.0", "00:00:01:40.0"],  # beyond what the change tells
        ["00:00:00:28.0", "00:00:00:29.0", "00:00:01:00.0", "00:00:01:24.0", "00:00:02:00.0", "00:00:02:01.0"],
        ["00:00:00:24.0", "00:00:01:00.0", "00:00:01:01.0", "00:00:01:01.0"],  # stands still
    ],
)
def test_time_codes_without_a_frame_rate(codes: list[str]) -> None:
    assert times_of_timecodes(codes) is None


def test_too_low_frame_rates_are_refused() -> None:
    codes = ["10:20:30:59.250", "frame"]
    check_timecodes("a.csv", codes, 60)
    with pytest.raises(UsageError, match=r"^a\.csv: its time codes count to frame 59 of a second; give --fps 60$"):
        check_timecodes("a.csv", codes, 59)
    assert has_timecodes(codes) and not has_timecodes(["frame", "1", "10:20"])
