"""Progress of a training run as occasional lines of text."""

from __future__ import annotations

import time
from collections.abc import Callable

LINE_EVERY_S = 10.0


class ProgressLine:
    """Reports step, loss, speed and remaining time, at most every 10 seconds and at the end.

    Args:
        start: Steps done before.
        steps: Steps of the whole run.
        report: Receives the lines.
    """

    def __init__(self, start: int, steps: int, report: Callable[[str], None]) -> None:
        self._start, self._steps, self._report = start, steps, report
        self._began_s = self._line_s = time.monotonic()

    def update(self, done: int, loss: float, faces_per_s: float) -> None:
        """Report a completed step.

        Args:
            done: Steps done.
            loss: Loss of the step.
            faces_per_s: Throughput of the step.
        """
        now_s = time.monotonic()
        if now_s - self._line_s < LINE_EVERY_S and done < self._steps:
            return
        self._line_s = now_s
        left_s = (now_s - self._began_s) / (done - self._start) * (self._steps - done)
        self._report(f"step {done}/{self._steps}: loss {loss:.4g}, {faces_per_s:.1f} faces/s, {_duration(left_s)} left")


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return (
        f"{seconds:.0f} s"
        if seconds < 90
        else f"{minutes // 60} h {minutes % 60:02d} min"
        if minutes >= 90
        else f"{minutes} min"
    )
