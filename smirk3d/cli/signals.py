"""SIGTERM ends a command as Ctrl-C does: what is open is closed, and temporary files are removed."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

GRACE_S = 5.0
"""Time for closing files, within which further signals are ignored."""


@contextmanager
def termination_as_interrupt() -> Iterator[None]:
    """Raise KeyboardInterrupt for the first SIGTERM within the block; while files are closed, others are ignored.

    After `GRACE_S` the next one counts again: the first may have arrived where exceptions are lost, as in `__del__`.

    Does nothing outside the main thread and where SIGTERM has a handler already or is ignored.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    owner, last_s = os.getpid(), float("-inf")

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal last_s
        if os.getpid() != owner:  # a worker that was forked has nothing to close
            os._exit(128 + number)
        if time.monotonic() - last_s > GRACE_S:
            last_s = time.monotonic()
            raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
