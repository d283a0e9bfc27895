"""Files that grow by whole records: what a full disk or a kill cuts off never remains as half a record."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from smirk3d.assets import printable
from smirk3d.errors import Smirk3dError


class AppendFile:
    """A file to which records are appended, each in one write; a context manager.

    Args:
        path: An existing file.
        remedy: What the message of a failure advises.
        durable: Wait after each record until it is on the disk.

    Raises:
        Smirk3dError: It cannot be opened, or is a symbolic link.
    """

    def __init__(self, path: Path, remedy: str, *, durable: bool = False) -> None:
        self._path, self._remedy, self._durable = path, remedy, durable
        try:
            # Unbuffered, so that each record reaches the file in one write.
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0))
            self._file = os.fdopen(descriptor, "ab", buffering=0)
        except OSError as error:
            raise self._failure(error) from error

    def __enter__(self) -> AppendFile:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; closing twice is fine."""
        self._file.close()

    def append(self, record: bytes) -> None:
        """Append a record, whole or not at all.

        Raises:
            Smirk3dError: It cannot be written; the file is as before.
        """
        size = os.fstat(self._file.fileno()).st_size
        try:
            rest = memoryview(record)
            while rest:  # a nearly full disk takes the beginning, without an error
                rest = rest[self._file.write(rest) :]
            if self._durable:
                os.fsync(self._file.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file.fileno(), size)
            raise self._failure(error) from error

    def _failure(self, error: OSError) -> Smirk3dError:
        reason = printable(error.strerror or str(error))
        return Smirk3dError(f"cannot write {printable(self._path)}: {reason}; {self._remedy}")
