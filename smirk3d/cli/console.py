"""Text for the person at the keyboard: results on standard output, everything else on standard error."""

from __future__ import annotations

import contextlib
import os
import sys

from smirk3d.assets import printable


def print_result(text: str) -> None:
    """Write a result; a reader that has closed the pipe is no error."""
    try:
        sys.stdout.write("\n".join(map(printable, text.split("\n"))) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        detach_stdout()


def print_message(text: str) -> None:
    """Write one line about a problem."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"smirk3d: {printable(' '.join(text.split()))}\n")
        sys.stderr.flush()


def detach_stdout() -> None:
    """Send what is still to come on standard output to nowhere, also what Python flushes when it exits."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
