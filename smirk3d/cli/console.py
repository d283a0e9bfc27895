"""Console output: results on standard output, everything else on standard error."""

from __future__ import annotations

import contextlib
import os
import sys

from smirk3d.assets import printable


def print_result(text: str) -> None:
    """Write a result to standard output; a reader that has closed the pipe is no error.

    Args:
        text: One or more lines.
    """
    try:
        sys.stdout.write("\n".join(map(printable, text.split("\n"))) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        detach_stdout()


def print_message(text: str) -> None:
    """Write a note or an error to standard error, as one line.

    Args:
        text: The message; its line breaks become spaces.
    """
    with contextlib.suppress(OSError):
        sys.stderr.write(f"smirk3d: {printable(' '.join(text.split()))}\n")
        sys.stderr.flush()


def detach_stdout() -> None:
    """Discard all further standard output."""
    # The file descriptor is replaced, since Python flushes its buffer once more when it exits.
    null_fd = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null_fd, sys.stdout.fileno())
    os.close(null_fd)
