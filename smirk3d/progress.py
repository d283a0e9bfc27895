"""Progress displays of long runs: a bar on a terminal, a line at intervals in log files and pipes."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import Any, Protocol, TextIO

from smirk3d.assets import printable

LINE_EVERY_IMAGES = 50
"""Images or frames between two lines of `LineProgress`."""
LINE_EVERY_S = 10.0
"""Longest time between two lines, while images are finished."""


class Progress(Protocol):
    """Counts finished images, or frames of a video; a context manager."""

    def __enter__(self) -> Progress:
        """Start the display."""
        ...

    def __exit__(self, *exc_info: object) -> None:
        """Stop the display, also after an error."""
        ...

    def advance(self) -> None:
        """Count one finished image."""
        ...

    def note(self, text: str) -> None:
        """Write a line of text without disturbing the display."""
        ...


def progress(total: int, stream: TextIO | None = None, unit: str = "images") -> Progress:
    """Return a bar for a terminal and lines for any other stream.

    Args:
        total: Number of images; 0 if unknown.
        stream: Where to write; standard error by default.
        unit: Plural noun of what is counted, such as "images".
    """
    target = stream or sys.stderr
    return BarProgress(total, target, unit) if target.isatty() else LineProgress(total, target, unit)


def failure_line(name: str | os.PathLike[str], reason: str) -> str:
    """Return the line about an input that failed; its name is put before a reason that does not have it."""
    shown = printable(name)
    return f"smirk3d: {reason}" if shown in reason else f"smirk3d: {shown}: {reason}"


def frame_progress(total: int) -> Progress:
    """Return a display that counts frames of a video; `total` is 0 if their number is unknown."""
    return progress(total, unit="frames")


class LineProgress:
    """One line of text every `LINE_EVERY_IMAGES` images or `LINE_EVERY_S` seconds, for log files and pipes."""

    def __init__(self, total: int, stream: TextIO, unit: str = "images"):
        self._total, self._stream, self._unit = total, stream, unit
        self._count = 0
        self._started_s = self._line_s = time.monotonic()

    def __enter__(self) -> LineProgress:
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass

    def advance(self) -> None:
        """Count one finished image."""
        self._count += 1
        now_s = time.monotonic()
        if self._count % LINE_EVERY_IMAGES == 0 or now_s - self._line_s >= LINE_EVERY_S:
            rate = self._count / max(now_s - self._started_s, 1e-6)
            total, remaining = "", ""
            if self._count <= self._total:
                total, remaining = f"/{self._total}", f", {(self._total - self._count) / rate:.0f} s left"
            self.note(f"{self._count}{total} {self._unit}, {rate:.1f} a second{remaining}")
            self._line_s = now_s

    def note(self, text: str) -> None:
        """Write a line."""
        # A closed pipe or terminal must not stop the run.
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(printable(text) + "\n")
            self._stream.flush()


class BarProgress:
    """A bar with the rate and, if the total is known, the remaining time."""

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
        """Count one finished image."""
        self._count += 1
        rate = self._count / max(time.monotonic() - self._started_s, 1e-6)
        if 0 < self._total < self._count:  # containers may state too few frames
            self._bar.update(self._task, total=self._count)
        self._bar.update(self._task, advance=1, rate=rate)

    def note(self, text: str) -> None:
        """Write a line above the bar."""
        self._bar.console.print(printable(text), markup=False, highlight=False, soft_wrap=True)
