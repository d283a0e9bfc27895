"""Graceful interruption: a signal requests a stop, and the run ends after its step with a checkpoint."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Whether a signal was received; made by `stop_on_signals`."""

    def __init__(self) -> None:
        self.is_made = False


@contextmanager
def stop_on_signals(report: Callable[[str], None]) -> Iterator[StopRequest]:
    """Turn the signals SIGINT and SIGTERM into a request, within the block; does nothing outside the main thread.

    Processes forked within the block ignore SIGINT, which a terminal sends to the whole process group, and end at once
    on SIGTERM.

    Args:
        report: Receives a line about the first signal.
    """
    request, owner = StopRequest(), os.getpid()

    def handle(number: int, frame: FrameType | None) -> None:
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
    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
