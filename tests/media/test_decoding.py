"""Time stamps of decoded frames become strictly increasing times from the first frame."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smirk3d.media.decoding import with_times


def times(stamps_s: list[float | None], rate_fps: float = 10.0) -> list[float]:
    return [time_s for _, time_s in with_times([SimpleNamespace(time=stamp_s) for stamp_s in stamps_s], rate_fps)]


def test_repeated_time_stamps_do_not_delay_later_frames() -> None:
    assert times([3.0, 3.1, 3.1, 3.2, 3.3]) == pytest.approx([0, 0.1, 0.15, 0.2, 0.3])
    assert times([None, None, 5.0, 5.1]) == pytest.approx([0, 0.1, 0.2, 0.3])
    assert times([0.0, None, 0.2]) == pytest.approx([0, 0.1, 0.2])


def test_joined_recordings_follow_each_other() -> None:
    assert times([7.0, 7.1, 9.0, 0.0, 0.1, 0.3]) == pytest.approx([0, 0.1, 2.0, 2.1, 2.2, 2.4])


@given(st.lists(st.none() | st.floats(0, 100), min_size=1), st.floats(1, 240))
def test_times_are_strictly_increasing(stamps_s: list[float | None], rate_fps: float) -> None:
    found = times(stamps_s, rate_fps)
    assert found[0] == 0 and len(found) == len(stamps_s) and (np.diff(found) > 0).all()
