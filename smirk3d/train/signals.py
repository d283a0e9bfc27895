"""A polite end: a signal asks a run to stop, and the run does so where nothing is lost."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Whether a signal has come; made by `stop_on_signals`."""

    def __init__(self) -> None:
        self.is_made = False


@contextmanager
def stop_on_signals(report: Callable[[str], None]) -> Iterator[StopRequest]:
    """Turn the signals SIGINT and SIGTERM into a request, within the block; outside of a main thread do nothing.

    Processes forked within the block are not to be stopped by what a terminal sends to all of them, but end at once
    when they are told to.

    Args:
        report: Told of the first signal.
    """
    request, owner = StopRequest(), os.getpid()

    def note(number: int, frame: FrameType | None) -> None:
        if os.getpid() != owner:
            if number == signal.SIGTERM:
                os._exit(128 + number)
            return
        if not request.is_made:
            request.is_made = True
            report("stopping after this step; the run can be resumed")

    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.signal(number, note) for number in _SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
