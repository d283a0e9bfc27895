"""Prefetching iterator: the stages of a pipeline run at the same time, one thread each."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

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
