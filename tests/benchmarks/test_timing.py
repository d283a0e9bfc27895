"""Medians, ratios and load of the benchmarks."""

from __future__ import annotations

import os
import time

import pytest
from timing import Cost, OtherLoad, Row, alternate, cost_of, machine_cpu_s, rows

CLOCK = "cpu  100 20 30 9999 8888 4 5 6 7 0\ncpu0 1 2 3 4 5 6 7 8 9 0\n"


def test_actions_alternate_and_warm_up_does_not_count() -> None:
    calls: list[str] = []
    actions = {name: lambda name=name: calls.append(name) for name in ("a", "b")}
    costs = alternate(actions, rounds=2, warm_up=1)
    assert calls == ["a", "b"] * 3
    assert [len(each) for each in costs.values()] == [2, 2]


def test_sleep_takes_time_and_work_takes_processors() -> None:
    asleep = cost_of(lambda: time.sleep(0.03))
    awake = cost_of(lambda: sum(k * k for k in range(300_000)))
    assert asleep.wall_ms >= 30 > asleep.cpu_ms
    assert awake.cpu_ms > 1


def test_a_program_that_measures_itself_is_taken_at_its_word() -> None:
    assert cost_of(lambda: Cost(3.0, 2.0)) == Cost(3.0, 2.0)


def test_ratios_are_those_of_rounds_and_costs_those_of_items() -> None:
    own, peer = [Cost(10, 8), Cost(40, 8), Cost(90, 8)], [Cost(5, 4), Cost(10, 8), Cost(15, 16)]
    ours, other = rows({"peer": peer, "own": own}, "peer", items=2)
    assert ours == Row("own", Cost(20, 4), "peer", Cost(4.0, 1.0))
    assert other == Row("peer", Cost(5, 4))
    assert ours.cells() == ("own", "20", "50", "4", "peer", "4.00; 1.00")


def test_idle_time_of_the_machine_is_no_load() -> None:
    machine_s = machine_cpu_s(CLOCK)
    assert machine_s is not None
    assert machine_s * os.sysconf("SC_CLK_TCK") == pytest.approx(100 + 20 + 30 + 4 + 5 + 6)


def test_own_work_is_no_other_load() -> None:
    load = OtherLoad()
    end = time.perf_counter() + 0.2
    while time.perf_counter() < end:
        pass
    share = load.share()
    assert share is None or 0 <= share <= 1.1
