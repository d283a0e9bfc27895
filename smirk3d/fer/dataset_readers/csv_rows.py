"""Rows of tables of labels."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from smirk3d.assets import printable
from smirk3d.bounded_io import open_plain_text
from smirk3d.errors import Smirk3dError
from smirk3d.fer.table_error import unreadable_table


def column_names(path: Path) -> list[str]:
    """Return the first row of a table.

    Raises:
        Smirk3dError: It cannot be read.
    """
    try:
        with open_plain_text(path) as file:
            return next(csv.reader(file), [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise unreadable_table(path, error) from error


def numbered_rows(path: Path, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the number of each row, from 2, and its values by column.

    Args:
        path: The table.
        needed: Columns that must be there.

    Raises:
        Smirk3dError: It cannot be read, lacks a column, or a row is too short.
    """
    missing = [name for name in needed if name not in column_names(path)]
    if missing:
        raise Smirk3dError(f"{printable(path)}: lacks the column {missing[0]!r}; needed are {', '.join(needed)}")
    try:
        with open_plain_text(path) as file:
            for number, row in enumerate(csv.DictReader(file), 2):
                if any(row[name] is None for name in needed):
                    raise Smirk3dError(f"{printable(path)}: row {number} is too short; correct it")
                yield number, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise unreadable_table(path, error) from error


def rows_without_header(path: Path) -> Iterator[list[str]]:
    """Yield the rows of a table that has no header.

    Raises:
        Smirk3dError: It cannot be read.
    """
    try:
        with open_plain_text(path) as file:
            yield from csv.reader(file)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise unreadable_table(path, error) from error
