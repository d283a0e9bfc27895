"""Prefetching: order, errors, bounded depth, and closing of the source."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from smirk3d.tracking.prefetch import parallel_map, prefetch


def test_items_keep_their_order_and_are_made_in_another_thread() -> None:
    threads = set()

    def source() -> Iterator[int]:
        for k in range(50):
            threads.add(threading.get_ident())
            yield k

    assert list(prefetch(source(), 3)) == list(range(50))
    assert len(threads) == 1 and threading.get_ident() not in threads


def test_items_before_an_error_come_first() -> None:
    def source() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("broken")

    items = prefetch(source())
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(ValueError, match="broken"):
        next(items)


def test_depth_is_bounded_and_the_source_is_closed() -> None:
    made, closed = [], threading.Event()

    def source() -> Iterator[int]:
        try:
            for k in range(1000):
                made.append(k)
                yield k
        finally:
            closed.set()

    items = prefetch(source(), 4)
    assert next(items) == 0
    items.close()
    assert closed.is_set() and len(made) <= 6


@pytest.mark.parametrize("threads", [1, 2])
def test_parallel_map_keeps_the_order_and_takes_few_items_ahead(threads: int) -> None:
    taken, seen = 0, []

    def source() -> Iterator[int]:
        nonlocal taken
        for number in range(20):
            taken += 1
            yield number

    def compute(number: int) -> int:
        time.sleep(0.002 * (number % 3))
        return number

    for number in parallel_map(compute, source(), threads):
        seen.append(number)
        assert taken <= len(seen) + threads
    assert seen == list(range(20))


def test_parallel_map_raises_an_error_in_its_place_and_ends_its_threads() -> None:
    def compute(number: int) -> float:
        return 1 / (3 - number)

    seen = []
    with pytest.raises(ZeroDivisionError):
        seen += parallel_map(compute, range(10), 2)
    results = parallel_map(compute, range(10), 2)
    assert [next(results) for _ in range(3)] == [1 / 3, 1 / 2, 1.0]
    with pytest.raises(ZeroDivisionError):
        next(results)
    closed = parallel_map(compute, range(3), 2)
    next(closed)
    closed.close()
    assert not [each for each in threading.enumerate() if each.name.startswith("smirk3d-map")]
