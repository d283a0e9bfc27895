"""The table of a run, `expressions.csv`: one row per face, and one for each image that failed.

UTF-8, comma, lines end in "\\n". The rows of an image are appended in one write, so that an interrupted run leaves a
table that can be continued.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, fields
from pathlib import Path

import numpy as np

from smirk3d.append_file import AppendFile
from smirk3d.assets import atomic_path, printable
from smirk3d.bounded_io import one_line, open_plain
from smirk3d.errors import Smirk3dError
from smirk3d.face import Face, Visibility
from smirk3d.head.arkit import ARKIT_NAMES

TABLE_COLUMNS: tuple[str, ...] = (
    *("image", "face", "status", "confidence", "method", "yaw", "pitch", "roll"),
    *(f"r{row}{column}" for row in range(3) for column in range(3)),
    *("x0", "y0", "x1", "y1"),
    *ARKIT_NAMES,
    *(f"lm68_{axis}{point}" for point in range(68) for axis in "xy"),
    *(f"visibility_{each.name}" for each in fields(Visibility)),
)
"""Columns in order: angles in degrees, boxes and landmarks in pixels, r00 to r22 from head frame to camera frame."""

STATUS_OK, FAILED = "ok", "failed: "
"""Status of rows with a face, and the start of that of images that failed, before the reason."""


class TableWriter:
    """Writes the table row by row, or another table of faces; a context manager.

    Args:
        path: The table; its folder exists. Without `resume` an existing table is replaced.
        resume: Continue an existing table: keep its rows of faces, drop those of failed images, and of an image whose
            rows are incomplete; both are processed again. A missing file is an empty table.
        columns: Columns of the table; one of them is status.
        name_column: The one with the names of the images.

    Attributes:
        done: Names of the images, as in the table, that the existing table has rows of.
        failed: Names of the images that failed in the existing table.

    Raises:
        Smirk3dError: The existing file is no such table, or the file cannot be read or written.
    """

    def __init__(
        self,
        path: str | Path,
        resume: bool = False,
        columns: Sequence[str] = TABLE_COLUMNS,
        name_column: str = "image",
    ) -> None:
        self.path, self._columns = Path(path), tuple(columns)
        self._status, self._name = self._columns.index("status"), self._columns.index(name_column)
        rows = _whole_images(self.path, self._columns, self._name) if resume and self.path.exists() else []
        old = [row for row in rows if not row[self._status].startswith(FAILED)]
        self.done: set[str] = {row[self._name] for row in old}
        self.failed: set[str] = {row[self._name] for row in rows} - self.done
        self._replace(old)
        self._file: AppendFile | None = None

    def __enter__(self) -> TableWriter:
        self._file = AppendFile(self.path, "free space and use --resume")
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def is_done(self, image: str | os.PathLike[str]) -> bool:
        """Return whether the existing table has rows of an image."""
        return table_name(image) in self.done

    def add_faces(self, image: str | os.PathLike[str], faces: Sequence[Face]) -> None:
        """Append the rows of all faces of an image in one write, so that an interruption cannot separate them."""
        self.add_rows([face_row(image, index, face) for index, face in enumerate(faces)])

    def add_rows(self, rows: Sequence[Sequence[str]]) -> None:
        """Append the rows of all faces of an image in one write; each has the cells of all columns."""
        self._append(rows)

    def add_failure(self, image: str | os.PathLike[str], reason: str) -> None:
        """Append a row with the status `failed: ` and the reason in one line, and empty values."""
        self._append([failure_row(image, reason, len(self._columns), name=self._name, status=self._status)])

    def sort(self, place_of: Mapping[str, int]) -> None:
        """Bring the rows into the order of the images; rows of other images come first, as they are.

        A resumed run appends what it has tried again behind what is done; an uninterrupted one has all in order.

        Args:
            place_of: Name of an image in the table -> its place.

        Raises:
            Smirk3dError: The table cannot be read or written.
            ValueError: The table is open.
        """
        if self._file is not None:
            raise ValueError("the table is open")
        rows = _rows(self.path, self._columns)
        ordered = sorted(rows, key=lambda row: place_of.get(row[self._name], -1))
        if ordered != rows:
            self._replace(ordered)

    def _replace(self, rows: Iterable[Sequence[str]]) -> None:
        with atomic_path(self.path) as temporary:
            temporary.write_bytes(encode_rows([self._columns, *rows]))

    def _append(self, rows: Iterable[Sequence[str]]) -> None:
        if self._file is None:
            raise ValueError("the table is not open: use it as a context manager")
        self._file.append(encode_rows(rows))


def failure_row(
    image: str | os.PathLike[str], reason: str, n_columns: int, *, name: int = 0, status: int = 2
) -> list[str]:
    """Return the cells of an image that failed: its name, the status `failed: ` with the reason, and empty ones.

    Args:
        image: Path of the image.
        reason: Why it failed.
        n_columns: Number of cells.
        name: Column of the name.
        status: Column of the status.
    """
    row = [""] * n_columns
    row[name] = table_name(image)
    row[status] = f"{FAILED}{printable(' '.join(reason.split()))}"
    return row


def table_name(image: str | os.PathLike[str]) -> str:
    """Return the name of an image as in the table: bytes that are not UTF-8 become backslash escapes."""
    return os.fspath(image).encode("utf-8", "backslashreplace").decode("utf-8")


def face_row(image: str | os.PathLike[str], index: int, face: Face) -> list[str]:
    """Return the cells of one face in the order of `TABLE_COLUMNS`.

    Args:
        image: Path of the image.
        index: Index of the face in the image, from 0.
        face: The face.

    Raises:
        KeyError: The head has no "ibug68" landmarks.
    """
    fixed = [
        *(f"{angle:.3f}" for angle in face.angles_deg),
        *(f"{entry:.6f}" for entry in face.rotation.ravel()),
        *(f"{edge:.2f}" for edge in face.box_px),
        *(f"{face.arkit[name]:.5f}" for name in ARKIT_NAMES),
        *(f"{value:.2f}" for value in np.asarray(face.landmarks("ibug68", space="image")).ravel()),
        *(f"{share:.4f}" for share in astuple(face.visibility)),
    ]
    return [table_name(image), str(index), STATUS_OK, f"{face.confidence:.4f}", face.method, *fixed]


def read_table(path: str | Path, columns: Sequence[str] = TABLE_COLUMNS) -> list[dict[str, str]]:
    """Return the rows of a table as column -> cell, without an incomplete last line.

    Args:
        path: The table.
        columns: Its columns.

    Raises:
        Smirk3dError: The file is no such table or cannot be read.
    """
    return [dict(zip(columns, row, strict=True)) for row in _rows(Path(path), tuple(columns))]


def _rows(path: Path, columns: tuple[str, ...]) -> list[list[str]]:
    """Return the complete rows below the header."""
    return _rows_and_rest(path, columns)[0]


def _whole_images(path: Path, columns: tuple[str, ...], name: int) -> list[list[str]]:
    """Return the rows of a table, without those of an image of which a kill has cut off the rest."""
    rows, rest = _rows_and_rest(path, columns)
    if not rows or not rest:
        return rows
    last = rows[-1][name]
    start = encode_rows([[last, ""]]).rstrip(b"\n")
    is_of_last = name > 0 or rest.startswith(start) or start.startswith(rest)  # what is cut off may lack its name
    return [row for row in rows if row[name] != last] if is_of_last else rows


def _rows_and_rest(path: Path, columns: tuple[str, ...]) -> tuple[list[list[str]], bytes]:
    """Return the complete rows below the header, and the beginning of a row that was cut off."""
    try:
        with open_plain(path) as file:
            records = list(split_records(file))
        rest = records.pop() if records and not _is_complete(records[-1]) else b""
        rows = list(csv.reader(record.decode("utf-8") for record in records))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Smirk3dError(f"{printable(path)}: cannot be read as a table ({printable(one_line(error))})") from error
    if not rows:
        return [], rest
    if tuple(rows[0]) != columns:
        raise Smirk3dError(f"{printable(path)}: has other columns than this run writes; choose another folder")
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(columns):
            raise Smirk3dError(f"{printable(path)}: row {number} has {len(row)} cells, not {len(columns)}; repair it")
    return rows[1:], rest


def split_records(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the records of a table, which end with a newline outside quotes; only the last one may be incomplete."""
    record = b""
    for line in lines:
        record += line
        if _is_complete(record):
            yield record
            record = b""
    if record:
        yield record


def _is_complete(record: bytes) -> bool:
    return record.endswith(b"\n") and record.count(b'"') % 2 == 0


def encode_rows(rows: Iterable[Sequence[str]]) -> bytes:
    """Return rows of cells as lines of a table."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8")
