"""Console output: results on standard output, everything else on standard error."""

from __future__ import annotations

import contextlib
import io
import os
import sys

from smirk3d.assets import printable
from smirk3d.errors import Smirk3dError


def print_result(text: str) -> None:
    """Write a result to standard output; a reader that has closed the pipe is no error.

    Args:
        text: One or more lines.

    Raises:
        Smirk3dError: It cannot be written, for example to a file on a full disk.
    """
    try:
        sys.stdout.write("\n".join(map(printable, text.split("\n"))) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        detach_stdout()
    except OSError as error:
        detach_stdout()
        raise Smirk3dError(
            f"cannot write to standard output: {error.strerror or error}; redirect it elsewhere"
        ) from error


def print_message(text: str) -> None:
    """Write a note or an error to standard error, as one line.

    Args:
        text: The message; its line breaks become spaces.
    """
    with contextlib.suppress(OSError):
        sys.stderr.write(f"smirk3d: {printable(' '.join(text.splitlines()))}\n")
        sys.stderr.flush()


def open_standard_streams() -> None:
    """Open the standard streams that the caller has closed on nothing.

    Otherwise the next file that is opened takes their place, and receives what is printed. Characters that the encoding
    of a stream lacks are written as escapes.
    """
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def detach_stdout() -> None:
    """Discard all further standard output."""
    # The file descriptor is replaced, since Python flushes its buffer once more when it exits.
    null_fd = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null_fd, sys.stdout.fileno())
    os.close(null_fd)
