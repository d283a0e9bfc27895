"""The table of a preparation, `report.csv`: one row per face, and one per photo without faces."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import BinaryIO

from smirk3d.assets import atomic_path, printable
from smirk3d.bounded_io import one_line, read_bytes
from smirk3d.errors import Smirk3dError

KEPT = "kept"
UNREADABLE = "unreadable"
NOT_PROCESSED = "not processed"
"""The program failed; nothing is known about the photo."""
_RETRIED = (UNREADABLE, NOT_PROCESSED)
_DROPPED = "dropped: "
_FAILURES_SHOWN = 10


@dataclass(frozen=True)
class ReportRow:
    """The result for one face, all as text.

    Attributes:
        image: Photo.
        face: Number of the face in the photo from 0, "" where none was found.
        status: "kept" or "dropped: <kind> (<numbers>)".
        key: Name of the face in the shard.
        shard: File name of the shard.
        person: Name of the person.
        face_px: See `smirk3d.datasets.quality.Quality`, as the following ones.
        sharpness: Variance of the Laplacian.
        inside: Share of the landmarks in the photo.
        roll_deg: Roll, degrees.
        mirror_error: Disagreement with the mirrored photo.
    """

    image: str
    face: str
    status: str
    key: str = ""
    shard: str = ""
    person: str = ""
    face_px: str = ""
    sharpness: str = ""
    inside: str = ""
    roll_deg: str = ""
    mirror_error: str = ""

    @property
    def kind(self) -> str:
        """The reason why the face was dropped, without numbers; "kept" where it was not."""
        return self.status.removeprefix(_DROPPED).split(" (")[0]


class FailureNotes:
    """Shows the first photos that could not be read or processed.

    Args:
        note: Shows a line of text.
        report: The table, which names the others.
    """

    def __init__(self, note: Callable[[str], None], report: Path) -> None:
        self._note, self._report, self._count = note, report, 0

    def show(self, rows: Sequence[ReportRow]) -> None:
        """Show those of the rows that are failures."""
        for row in rows:
            if row.kind not in _RETRIED:
                continue
            self._count += 1
            reason = row.status.removeprefix(f"{_DROPPED}{row.kind} (").removesuffix(")")
            if self._count <= _FAILURES_SHOWN:
                named = reason if printable(row.image) in reason else f"{row.image}: {reason}"
                self._note(f"smirk3d: {printable(named)}")
            elif self._count == _FAILURES_SHOWN + 1:
                self._note(f"smirk3d: more failures; all of them are in {printable(self._report)}")


REPORT_COLUMNS: tuple[str, ...] = tuple(field.name for field in fields(ReportRow))


def dropped(reason: str) -> str:
    """Return the status of a face that is not used."""
    return _DROPPED + reason


class Report:
    """Appends to the table; a context manager.

    A row names the shard of a face before that shard is written, so that every face of a shard is in the table. Rows
    whose shard was never written, and those of photos that could not be read or processed, are removed when the work
    is resumed.

    Args:
        path: Table to write.
        resume: Continue an old table; otherwise it is replaced.

    Attributes:
        done: Photos in the old table that need no further work.

    Raises:
        Smirk3dError: The old file is no such table, or the table cannot be written.
    """

    def __init__(self, path: Path, resume: bool = False) -> None:
        self.path = path
        old = _rows_in_shards(path) if resume and path.exists() else []
        self.done = {row.image for row in old}
        with atomic_path(path) as temporary:
            temporary.write_bytes(_encoded([REPORT_COLUMNS, *map(_values, old)]))
        self._file: BinaryIO | None = None

    def __enter__(self) -> Report:
        try:
            self._file = open(self.path, "ab", buffering=0)
        except OSError as error:
            raise Smirk3dError(f"cannot write {printable(self.path)}: {error.strerror}; check it") from error
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def add(self, rows: list[ReportRow]) -> None:
        """Append the rows of a photo in one write, so that an interruption cannot separate them."""
        if self._file is None:
            raise ValueError("the report is not open")
        try:
            self._file.write(_encoded(list(map(_values, rows))))
            os.fsync(self._file.fileno())
        except OSError as error:
            raise Smirk3dError(f"cannot write {printable(self.path)}: {error.strerror}; check space") from error


def read_report(path: Path) -> list[ReportRow]:
    """Read the complete rows of a table; an incomplete last line is left out.

    Raises:
        Smirk3dError: The file is no such table.
    """
    try:
        text = read_bytes(path).decode("utf-8", "replace")
        rows = list(csv.reader(io.StringIO(text[: text.rfind("\n") + 1], newline="")))
    except (OSError, csv.Error) as error:
        raise Smirk3dError(f"{printable(path)}: unreadable ({one_line(error)}); check it") from error
    if not rows or tuple(rows[0]) != REPORT_COLUMNS:
        raise Smirk3dError(f"{printable(path)}: not a report of smirk3d data prepare; choose another folder")
    return [ReportRow(*row) for row in rows[1:] if len(row) == len(REPORT_COLUMNS)]


def _rows_in_shards(path: Path) -> list[ReportRow]:
    """Return the rows of the photos whose faces are all in existing shards, but not those that are tried again."""
    rows = read_report(path)
    lost = {row.image for row in rows if row.shard and not (path.parent / row.shard).is_file()}
    lost |= {row.image for row in rows if row.kind in _RETRIED}
    return [row for row in rows if row.image not in lost]


def _values(row: ReportRow) -> list[str]:
    return [getattr(row, name) for name in REPORT_COLUMNS]


def _encoded(rows: list) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8", "backslashreplace")
