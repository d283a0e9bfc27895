"""Prefetching: order, errors, bounded depth, and closing of the source."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from smirk3d.tracking.prefetch import prefetch


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
