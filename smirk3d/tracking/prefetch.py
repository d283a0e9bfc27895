"""Iterators for pipelines, whose stages run at the same time: in a thread each, or in several."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")


def prefetch(source: Iterable[T], depth: int = 4) -> Generator[T, None, None]:
    """Yield the items of a source, which a thread of its own computes in advance.

    An error of the source is raised here, after the items before it. Closing this generator closes the source.

    Args:
        source: Where the items come from.
        depth: How many items are computed in advance.
    """
    iterator, end = iter(source), object()
    try:
        with ThreadPoolExecutor(1, "smirk3d-prefetch") as thread:
            futures = deque(thread.submit(next, iterator, end) for _ in range(depth))
            try:
                while (item := futures.popleft().result()) is not end:
                    futures.append(thread.submit(next, iterator, end))
                    yield item  # pyright: ignore[reportReturnType]
            finally:
                for future in futures:
                    future.cancel()
    finally:
        # Only now that the thread has ended: a generator that is running cannot be closed.
        close = getattr(iterator, "close", None)
        if close is not None:
            close()


def parallel_map(compute: Callable[[S], T], items: Iterable[S], threads: int) -> Generator[T, None, None]:
    """Yield what is computed of each item, in the order of the items, which are taken in the caller's thread.

    Args:
        compute: Called in other threads; its errors are raised here, in their place.
        items: At most `threads` and one more are taken ahead.
        threads: How many items are computed at a time.
    """
    computing: deque[Future[T]] = deque()
    with ThreadPoolExecutor(threads, "smirk3d-map") as pool:
        try:
            for item in items:
                computing.append(pool.submit(compute, item))
                if len(computing) > threads:
                    yield computing.popleft().result()
            while computing:
                yield computing.popleft().result()
        finally:
            for future in computing:
                future.cancel()
