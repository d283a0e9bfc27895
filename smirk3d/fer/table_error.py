"""The error of a table of labels that cannot be read."""

from __future__ import annotations

from pathlib import Path

from smirk3d.assets import printable
from smirk3d.bounded_io import one_line
from smirk3d.errors import Smirk3dError


def unreadable_table(path: Path, error: Exception) -> Smirk3dError:
    """Return the error of a table, with the remedy.

    Args:
        path: The table.
        error: What reading it has raised.
    """
    remedy = "check the path" if isinstance(error, FileNotFoundError) else "give a table in UTF-8"
    return Smirk3dError(f"{printable(path)}: unreadable ({one_line(error)}); {remedy}")
