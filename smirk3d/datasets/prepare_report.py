"""The table of a preparation, `report.csv`: one row per face, and one per photo without faces."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from smirk3d.append_file import AppendFile
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
    def is_failure(self) -> bool:
        """Whether the photo could not be read or processed, and is tried again by a run that goes on."""
        return self.kind in _RETRIED

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
            if not row.is_failure:
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
    of faces that are not in their shards, and those of photos that could not be read or processed, are removed when
    the work is resumed.

    Args:
        path: Table to write.
        old: Rows that the table begins with.

    Attributes:
        done: Photos in the old rows.

    Raises:
        Smirk3dError: The table cannot be written.
    """

    def __init__(self, path: Path, old: Collection[ReportRow] = ()) -> None:
        self.path = path
        self.done = {row.image for row in old}
        self._replace(old)
        self._file: AppendFile | None = None

    def __enter__(self) -> Report:
        self._file = AppendFile(self.path, "free space and use --resume", durable=True)
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def add(self, rows: list[ReportRow]) -> None:
        """Append the rows of a photo in one write, so that an interruption cannot separate them."""
        if self._file is None:
            raise ValueError("the report is not open")
        self._file.append(_encoded(list(map(row_cells, rows))))

    def sort(self, place_of: Mapping[str, int]) -> None:
        """Bring the rows into the order of the photos, as an uninterrupted run has them; those of others come first.

        Args:
            place_of: Name of a photo in the table -> its place.

        Raises:
            Smirk3dError: The table cannot be read or written.
        """
        rows = read_report(self.path)
        ordered = sorted(rows, key=lambda row: place_of.get(row.image, -1))
        if ordered != rows:
            self._replace(ordered)

    def _replace(self, rows: Collection[ReportRow]) -> None:
        with atomic_path(self.path) as temporary:
            temporary.write_bytes(_encoded([REPORT_COLUMNS, *map(row_cells, rows)]))


def read_report(path: Path) -> list[ReportRow]:
    """Read the complete rows of a table; an incomplete last line is left out.

    Raises:
        Smirk3dError: The file is no such table.
    """
    return _rows_and_rest(path)[0]


def rows_to_keep(path: Path, keys_in: Mapping[str, Collection[str]]) -> list[ReportRow]:
    """Return the rows of photos that need no further work.

    Args:
        path: The table.
        keys_in: Name of a shard that may lack faces -> the keys of the faces in it.

    Raises:
        Smirk3dError: The file is no such table.
    """
    rows, is_cut = _rows_and_rest(path)
    open_images = {rows[-1].image} if is_cut and rows else set()  # a kill may have cut off other rows of this photo
    for row in rows:
        is_absent = bool(row.shard) and not (path.parent / row.shard).is_file()
        if is_absent or row.is_failure or row.key not in keys_in.get(row.shard, (row.key,)):
            open_images.add(row.image)
    return [row for row in rows if row.image not in open_images]


def _rows_and_rest(path: Path) -> tuple[list[ReportRow], bool]:
    """Return the complete rows, and whether an incomplete one follows."""
    try:
        text = read_bytes(path).decode("utf-8", "replace")
        rows = list(csv.reader(io.StringIO(text[: text.rfind("\n") + 1], newline="")))
    except (OSError, csv.Error) as error:
        raise Smirk3dError(f"{printable(path)}: unreadable ({one_line(error)}); check it") from error
    if not rows or tuple(rows[0]) != REPORT_COLUMNS:
        raise Smirk3dError(f"{printable(path)}: not a report of smirk3d data prepare; choose another folder")
    whole = [ReportRow(*row) for row in rows[1:] if len(row) == len(REPORT_COLUMNS)]
    return whole, not text.endswith("\n")


def row_cells(row: ReportRow) -> list[str]:
    """Return the cells of a row in the order of `REPORT_COLUMNS`."""
    return [getattr(row, name) for name in REPORT_COLUMNS]


def _encoded(rows: list) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8", "backslashreplace")
