"""The features of a run as far as it has come, beside their target: what an interruption or a full disk leaves.

The journal is `<target>.part`, a CSV table with all digits: the image, the number of its faces, the key, the features.
It is removed when the target has been written.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from smirk3d.append_file import AppendFile
from smirk3d.assets import atomic_path, printable
from smirk3d.bounded_io import open_plain
from smirk3d.errors import Smirk3dError
from smirk3d.export.tables.expressions_csv import encode_rows, split_records, table_name
from smirk3d.export.tables.features import FeatureRow

JOURNAL_SUFFIX = ".part"
_LEADING_COLUMNS = ("image", "faces", "key")


class FeatureJournal:
    """Collects the rows of images; a context manager.

    Args:
        target: The file of features that the rows are for.
        resume: Continue the journal of an earlier run; otherwise it is replaced.

    Attributes:
        path: The journal.
        done: Names of the images, as in `table_name`, that the journal has all rows of.

    Raises:
        Smirk3dError: The journal cannot be read or written, or is a symbolic link.
    """

    def __init__(self, target: Path, resume: bool = False) -> None:
        self.path = target.with_name(target.name + JOURNAL_SUFFIX)
        if self.path.is_symlink():
            raise Smirk3dError(f"{printable(self.path)}: is a symbolic link; remove it")
        header, images = _read(self.path) if resume and self.path.exists() else (b"", {})
        self._names: tuple[str, ...] = tuple(_cells(header)[len(_LEADING_COLUMNS) :]) if header else ()
        self._place_of: dict[str, tuple[int, int]] = {}  # offset and size
        self._size = len(header)
        with atomic_path(self.path) as temporary:
            temporary.write_bytes(header + b"".join(images.values()))
        for name, content in images.items():
            self._note(name, len(content))
        self._file = AppendFile(self.path, "free space and use --resume")

    def __enter__(self) -> FeatureJournal:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._file.close()
        if not self._place_of:
            self.remove()

    @property
    def done(self) -> frozenset[str]:
        """Names of the images, as in `table_name`, that the journal has all rows of."""
        return frozenset(self._place_of)

    def add(self, image: str | os.PathLike[str], rows: Sequence[FeatureRow]) -> None:
        """Append the rows of all faces of an image, at least one, whole or not at all.

        Raises:
            Smirk3dError: They cannot be written, or their names differ from those before.
        """
        if not self._names:
            self._names = rows[0].names
            header = encode_rows([[*_LEADING_COLUMNS, *self._names]])
            self._file.append(header)
            self._size += len(header)
        if any(row.names != self._names for row in rows):
            raise Smirk3dError(
                f"{printable(self.path)}: has features of another head; remove it, or use the head of the run before"
            )
        name = table_name(image)
        content = encode_rows(
            [name, str(len(rows)), row.key, *(f"{value:.9g}" for value in row.values)] for row in rows
        )
        self._file.append(content)
        self._note(name, len(content))

    def rows(self, images: Iterable[str | os.PathLike[str]]) -> Iterator[FeatureRow]:
        """Yield the rows of images in the order given; those that have none are left out."""
        with open(self.path, "rb") as file:
            for image in images:
                offset, size = self._place_of.get(table_name(image), (0, 0))
                file.seek(offset)
                for record in split_records(file.read(size).splitlines(keepends=True)):
                    _, _, key, *values = _cells(record)
                    yield FeatureRow(key, self._names, np.array(values, dtype=np.float32))

    def remove(self) -> None:
        """Remove the journal: its rows are in the target."""
        self._file.close()
        self.path.unlink(missing_ok=True)

    def _note(self, name: str, size: int) -> None:
        self._place_of[name] = (self._size, size)
        self._size += size


def _read(path: Path) -> tuple[bytes, dict[str, bytes]]:
    """Return the header of a journal, and by image its rows, without images that lack some."""
    images: dict[str, list[bytes]] = {}
    n_faces: dict[str, int] = {}
    try:
        with open_plain(path) as file:
            header, *records = [record for record in split_records(file) if record.endswith(b"\n")] or [b""]
        if header and tuple(_cells(header)[: len(_LEADING_COLUMNS)]) != _LEADING_COLUMNS:
            raise ValueError("it has other columns")
        for record in records:
            name, count = _cells(record)[:2]
            images.setdefault(name, []).append(record)
            n_faces[name] = int(count)
    except (OSError, ValueError, csv.Error) as error:
        reason = printable(getattr(error, "strerror", None) or str(error))
        raise Smirk3dError(f"{printable(path)}: cannot be continued ({reason}); remove it") from error
    return header, {name: b"".join(rows) for name, rows in images.items() if len(rows) == n_faces[name]}


def _cells(record: bytes) -> list[str]:
    return next(csv.reader([record.decode("utf-8")]))
