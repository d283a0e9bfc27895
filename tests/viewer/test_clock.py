"""Playback time."""

from __future__ import annotations

import pytest

from smirk3d.viewer.clock import Clock


def test_clock_runs_jumps_loops_and_stops() -> None:
    now_s = 100.0
    clock = Clock(start_s=2.0, duration_s=4.0, now_s=lambda: now_s)
    assert clock.time_s == 2.0 and not clock.is_running
    clock.run()
    now_s += 3
    assert clock.time_s == 5.0 and clock.is_running
    clock.change(speed=0.5)
    now_s += 1
    assert clock.time_s == pytest.approx(5.5)
    now_s += 2
    assert clock.time_s == pytest.approx(2.5)  # around the end
    clock.change(loop=False, speed=2.0)
    now_s += 10
    assert clock.time_s == pytest.approx(6.0) and not clock.is_running and clock.has_ended
    clock.stop()
    clock.run()
    assert clock.time_s == 2.0
    clock.jump(-7)
    assert clock.time_s == 2.0
