"""Checks of the paths on the command line, before any work."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from smirk3d.assets import printable
from smirk3d.errors import UsageError


def check_no_input(out: str | os.PathLike[str], inputs: Iterable[str | os.PathLike[str] | None]) -> None:
    """Check that an output is none of the inputs, which it would replace.

    Args:
        out: The file to write.
        inputs: Files to read; None where a flag is not given.

    Raises:
        UsageError: It is one of them, under any name.
    """
    if any(name is not None and _is_same(name, out) for name in inputs):
        raise UsageError(f"--out {printable(out)}: is an input itself; choose another name")


def check_exists(flag: str, path: str | os.PathLike[str] | None) -> None:
    """Check that there is a file or folder that a flag names.

    Raises:
        UsageError: There is none.
    """
    if path is not None and not Path(path).exists():
        raise UsageError(f"{flag} {printable(path)}: no such file or folder; check the path")


def _is_same(first: str | os.PathLike[str], second: str | os.PathLike[str]) -> bool:
    try:
        return os.path.samefile(first, second)
    except (OSError, ValueError):  # one of them does not exist, or is no path; reading or writing it tells
        return False
