"""Work that runs ahead of whoever takes its results: the stages of a pipeline, one thread each."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def prefetch(source: Iterable[T], depth: int = 4) -> Generator[T, None, None]:
    """Yield what a source yields, which is asked in a thread of its own for up to `depth` items in advance.

    An error of the source is raised here, after what it had yielded before. Closing this generator closes the source.
    """
    iterator, end = iter(source), object()
    try:
        with ThreadPoolExecutor(1, "smirk3d-ahead") as thread:
            waiting = deque(thread.submit(next, iterator, end) for _ in range(depth))
            try:
                while (item := waiting.popleft().result()) is not end:
                    waiting.append(thread.submit(next, iterator, end))
                    yield item  # pyright: ignore[reportReturnType]
            finally:
                for asked in waiting:
                    asked.cancel()
    finally:
        close = getattr(iterator, "close", None)
        if close is not None:
            close()
