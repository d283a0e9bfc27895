"""How a long run shows where it is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import Any, Protocol, TextIO

from smirk3d.assets import printable

LINE_EVERY_IMAGES = 50
LINE_EVERY_S = 10.0


class Progress(Protocol):
    """Receives each image (or frame, see `unit`) that is through; a context manager."""

    def __enter__(self) -> Progress:
        """Start."""
        ...

    def __exit__(self, *exc_info: object) -> None:
        """Stop, whatever happened."""
        ...

    def advance(self) -> None:
        """Count one image."""
        ...

    def note(self, text: str) -> None:
        """Write a line of text beside the progress."""
        ...


def progress(total: int, stream: TextIO | None = None, unit: str = "images") -> Progress:
    """Return the display that suits the stream.

    Args:
        total: How many there will be; 0 where nobody knows. stream: By default standard error. unit: What they are.
    """
    target = stream or sys.stderr
    return BarProgress(total, target, unit) if target.isatty() else LineProgress(total, target, unit)


def frame_progress(total: int) -> Progress:
    """Return the display for a number of frames of a video, 0 where nobody knows."""
    return progress(total, unit="frames")


class LineProgress:
    """One line every 50 images or 10 seconds: for log files and pipes."""

    def __init__(self, total: int, stream: TextIO, unit: str = "images"):
        self._total, self._stream, self._unit = total, stream, unit
        self._count = 0
        self._started_s = self._line_s = time.monotonic()

    def __enter__(self) -> LineProgress:
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass

    def advance(self) -> None:
        """Count one image."""
        self._count += 1
        now_s = time.monotonic()
        if self._count % LINE_EVERY_IMAGES == 0 or now_s - self._line_s >= LINE_EVERY_S:
            rate = self._count / max(now_s - self._started_s, 1e-6)
            of, left = "", ""
            if self._count <= self._total:
                of, left = f"/{self._total}", f", {(self._total - self._count) / rate:.0f} s left"
            self.note(f"{self._count}{of} {self._unit}, {rate:.1f} a second{left}")
            self._line_s = now_s

    def note(self, text: str) -> None:
        """Write a line."""
        # A reader that has gone away is no reason to stop the work.
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(printable(text) + "\n")
            self._stream.flush()


class BarProgress:
    """A bar with rate and, where the total is known, remaining time."""

    def __init__(self, total: int, stream: TextIO, unit: str = "images"):
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self._bar: Any = RichProgress(
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(f"{{task.fields[rate]:.1f}} {unit}/s"),
            TimeRemainingColumn(),
            console=Console(file=stream),
            transient=True,
        )
        self._task = self._bar.add_task("", total=total or None, rate=0.0)
        self._count, self._total = 0, total
        self._started_s = time.monotonic()

    def __enter__(self) -> BarProgress:
        self._bar.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._bar.stop()

    def advance(self) -> None:
        """Count one image."""
        self._count += 1
        rate = self._count / max(time.monotonic() - self._started_s, 1e-6)
        if 0 < self._total < self._count:  # there are more than was said
            self._bar.update(self._task, total=self._count)
        self._bar.update(self._task, advance=1, rate=rate)

    def note(self, text: str) -> None:
        """Write a line above the bar."""
        self._bar.console.print(printable(text), markup=False, highlight=False, soft_wrap=True)
