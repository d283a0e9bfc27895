"""Tables of ARKit weights as .csv, .tsv or .parquet, with the names, times and delimiters of any program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from smirk3d.bounded_io import open_plain
from smirk3d.export.tables.delimited_text import read_delimited
from smirk3d.export.tables.expressions import Expressions
from smirk3d.export.tables.table_times import clock_times, find_time_column, to_seconds
from smirk3d.export.tables.timecode import has_timecodes
from smirk3d.export.tables.weight_columns import arkit_weights, match_columns, missing_note

NAME_COLUMNS = ("frame", "frames", "image", "key", "timecode")
"""Columns of a table that may name its rows; the first column does if there is none of them."""
MAX_CELLS = 20_000_000
"""Largest .parquet that is read: 90 minutes at 60 frames a second."""
_COUNT_COLUMN = "blendshapecount"
"""Column of Live Link Face with the number of weights; 0 where no face was found."""


@dataclass(frozen=True, eq=False)
class WeightTable:
    """A table of N rows.

    Attributes:
        header: Names of the columns, as in the file.
        columns: N texts for each of them.
        cells: Name of each column in lower case -> N texts; of equal names the first counts.
        lines: Line of each row in the file.
        weight_columns: ARKit blendshape -> columns, as numbers into `header`.
        decimal_comma: Whether a comma in a number may be its decimal point.
        known: (N,) bool, true for rows with weights; the face was lost in the others.
    """

    header: tuple[str, ...] = field(repr=False)
    columns: Sequence[Sequence[str]] = field(repr=False)
    cells: Mapping[str, Sequence[str]] = field(repr=False)
    lines: Sequence[int] = field(repr=False)
    weight_columns: dict[str, list[int]] = field(repr=False)
    decimal_comma: bool
    known: np.ndarray = field(repr=False)

    def has(self, *names: str) -> bool:
        """Return whether the table has all these columns, by their names in lower case."""
        return set(names) <= self.cells.keys()

    def numbers(self, *names: str) -> np.ndarray:
        """Return columns as (N, len(names)) float64; empty cells are NaN.

        Raises:
            ValueError: A cell is not a number.
        """
        return np.array([[self._number(cell or "nan") for cell in self.cells[name]] for name in names]).T

    def _number(self, text: str) -> float:
        comma = self.decimal_comma and "," in text and "." not in text
        return float(text.replace(",", ".") if comma else text)

    def weights(self) -> np.ndarray:
        """Return the ARKit weights (K, 52) of the K rows with a face; those without a column are 0.

        Raises:
            ValueError: There are none, or a cell is not a number.
        """
        used = sorted({column for found in self.weight_columns.values() for column in found})
        place = {column: k for k, column in enumerate(used)}
        rows: list[int] = np.flatnonzero(self.known).tolist()
        if used and not rows:
            raise ValueError("it has no rows with weights")
        values = [[self._weight(self.columns[column][row], column, row) for column in used] for row in rows]
        located = {name: [place[column] for column in found] for name, found in self.weight_columns.items()}
        return arkit_weights(np.array(values, dtype=np.float32).reshape(len(rows), len(used)), located)

    def _weight(self, text: str, column: int, row: int) -> float:
        try:
            if np.isfinite(number := self._number(text)):
                return number
        except ValueError:
            pass
        raise ValueError(f"line {self.lines[row]}: {self.header[column]!r} is {text!r}, no number")

    def times(self) -> np.ndarray | None:
        """Return the times of all rows (N,) in seconds from their column; None if there is none.

        A column of time codes is not one of times.

        Raises:
            ValueError: A row has none, or it cannot be read as a time.
        """
        found = find_time_column(self.cells)
        if found is None or has_timecodes(self.cells[found[0]]):
            return None
        name, unit_s = found
        try:
            values = self.numbers(name)[:, 0]
        except ValueError:
            values = clock_times(self.cells[name])
        if values is None or np.isnan(values).any():
            raise ValueError(f"{name!r} is not a number in all rows; correct it, or leave the column out")
        return values if name == "time_s" else to_seconds(values, unit_s)

    def timecodes(self) -> Sequence[str]:
        """Return the column with time codes: of the app, or of tables that were made from its recordings."""
        columns = [name for name in ("timecode", "frame") if self.has(name)]
        columns += [name for name in self.cells if name not in columns and has_timecodes(self.cells[name][:1])]
        return self.cells[columns[0]] if columns else ()

    def frame_names(self) -> tuple[str, ...]:
        """Return the names of the rows with a face, numbers where the table does not name them."""
        known = [name for name in NAME_COLUMNS if self.has(name)]
        face = next((self.cells[name] for name in ("face", "track") if self.has(name)), None)
        first = self.header[0].lower()
        # The first of MediaPipe's 52 scores is that of the neutral face.
        is_weight = first == "_neutral" or any(0 in found for found in self.weight_columns.values())
        named = known or ([] if is_weight or first in ("track", "time_s") else [first])
        names = []
        for row in np.flatnonzero(self.known).tolist():
            text = self.cells[named[0]][row] if named else ""
            number = face[row] if face is not None and known else ""
            names.append((text if number in ("", "0") else f"{text}#{number}") or str(len(names)))
        return tuple(names)

    def expressions(self) -> Expressions:
        """Return the rows with a face.

        Raises:
            ValueError: There are no weights, or a cell is not a number.
        """
        return Expressions(self.frame_names(), {"arkit": self.weights()}, notes=missing_note(self.weight_columns))


def read_weight_table(path: Path) -> WeightTable:
    """Read a table whose columns are named as ARKit weights, see `match_columns`; other columns may be there.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no table, or pyarrow is missing for .parquet.
        csv.Error: A cell is too long.
    """
    if path.suffix.lower() == ".parquet":
        header, columns, lines, comma = *_parquet_columns(path), False
    else:
        text = read_delimited(path)
        header, comma, lines = text.header, text.decimal_comma, [line for line, _ in text.rows]
        columns = [[row[k] if k < len(row) else "" for _, row in text.rows] for k in range(len(header))]
    cells = {name.lower(): column for name, column in reversed(list(zip(header, columns, strict=True)))}
    found = match_columns(header)
    weights = [columns[column] for columns_of in found.values() for column in columns_of]
    known = np.array([any(row) for row in zip(*weights)], dtype=bool)
    counts = np.array([cell in ("0", "0.0") for cell in cells.get(_COUNT_COLUMN, ())], dtype=bool)
    if counts.any() and not counts.all():
        known &= ~counts
    return WeightTable(header, columns, cells, lines, found, comma, known)


def _parquet_columns(path: Path) -> tuple[tuple[str, ...], list[list[str]], Sequence[int]]:
    """Return names, cells as text and row numbers of the columns of a .parquet that are used."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise ValueError(".parquet needs pyarrow: pip install 'smirk3d[tables]', or name the .csv") from error
    try:
        with open_plain(path) as file:
            table = parquet.ParquetFile(file)
            chosen = _wanted(table.schema_arrow.names)
            _check_parquet_size(table, chosen)
            cells = table.read(columns=chosen).to_pydict()
    except pyarrow.ArrowException as error:
        raise ValueError(str(error)) from error
    columns = [["" if cell is None else str(cell) for cell in cells[name]] for name in chosen]
    return tuple(chosen), columns, range(1, len(columns[0]) + 1 if columns else 1)


def _check_parquet_size(table: Any, columns: Sequence[str]) -> None:
    """Raise `ValueError` where columns that are needed are no numbers or times, or are too large; nothing is read."""
    from pyarrow import types

    plain = (types.is_integer, types.is_floating, types.is_boolean, types.is_null, types.is_timestamp)
    for name in columns:
        kind = table.schema_arrow.field(name).type
        if not any(is_kind(kind) for is_kind in plain):
            raise ValueError(f"the column {name} is of {kind}, not of numbers")
    if (count := table.metadata.num_rows * len(columns)) > MAX_CELLS:
        raise ValueError(f"it has {count} cells, the limit is {MAX_CELLS}")


def _wanted(names: Sequence[str]) -> list[str]:
    """Return the columns that are used; reading a wide table as text is slow."""
    weights = {column for found in match_columns(names).values() for column in found}
    others = {"track", *(f"r{row}{column}" for row in range(3) for column in range(3))}
    others |= {"headyaw", "headpitch", "headroll"}
    time = find_time_column(name.lower() for name in names)
    return [
        name
        for column, name in enumerate(names)
        if column in weights or name.lower() in others or (time is not None and name.lower() == time[0])
    ]
