"""A table of `smirk3d fer predict` as .parquet, with numbers as numbers."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from smirk3d.assets import atomic_path, printable
from smirk3d.bounded_io import one_line, open_plain_text
from smirk3d.errors import Smirk3dError

_TEXTS = ("image", "status", "emotion", "input", "approx_time", "Identity")
_WHOLE = ("face", "frame", "track")
_CHUNK_ROWS = 4096


def write_parquet_beside(table: Path, columns: Sequence[str]) -> Path | None:
    """Write a finished .csv again as .parquet beside it; empty cells are nulls.

    Args:
        table: The .csv.
        columns: Its columns.

    Returns:
        The file; None where pyarrow is not installed.

    Raises:
        Smirk3dError: The table cannot be read, or the file cannot be written.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        return None
    kinds = [_kind(name) for name in columns]
    schema = pyarrow.schema(list(zip(columns, kinds)))
    path = table.with_suffix(".parquet")
    try:
        with open_plain_text(table) as file, atomic_path(path) as temporary:
            rows = csv.reader(file)
            next(rows)
            with parquet.ParquetWriter(temporary, schema) as writer:
                while chunk := list(islice(rows, _CHUNK_ROWS)):
                    arrays = [_array(cells, kind) for cells, kind in zip(zip(*chunk), kinds, strict=True)]
                    writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))
    except (OSError, ValueError, csv.Error, pyarrow.ArrowException) as error:
        raise Smirk3dError(f"{printable(path)}: cannot be written ({one_line(error)}); the .csv is complete") from error
    return path


def _kind(name: str) -> Any:
    import pyarrow

    return pyarrow.string() if name in _TEXTS else pyarrow.int64() if name in _WHOLE else pyarrow.float64()


def _array(cells: Sequence[str], kind: Any) -> Any:
    import pyarrow

    if pyarrow.types.is_string(kind):
        return pyarrow.array([cell or None for cell in cells], kind)
    number = int if pyarrow.types.is_integer(kind) else float
    return pyarrow.array([number(cell) if cell else None for cell in cells], kind)
