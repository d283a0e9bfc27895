"""Records on disk, so that a long video takes no more memory than a short one."""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from typing import IO

import numpy as np

from smirk3d.assets import printable

MAX_PENDING_ROWS = 64
"""Rows that are kept in memory before they are written."""
_log = logging.getLogger(__name__)


class RecordBuffer:
    """A growing table of records in a temporary file that is deleted on closing; a context manager.

    Where the file cannot be written, such as on a full disk, the further records stay in memory.

    Args:
        dtype: Structured type of the records.
    """

    def __init__(self, dtype: np.dtype) -> None:
        self.dtype = dtype
        self._file: IO[bytes] | None = None
        self._is_writable = True
        self._pending: list[np.ndarray] = []
        self._n_stored = self._n_pending = 0
        try:
            # Unbuffered: what a full disk takes only in part can be taken back.
            self._file = tempfile.TemporaryFile(prefix="smirk3d-", buffering=0)  # noqa: SIM115 - closed in __exit__
        except OSError as error:
            self._keep_in_memory(error)

    def __len__(self) -> int:
        return self._n_stored + self._n_pending

    def __enter__(self) -> RecordBuffer:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._file is not None:
            self._file.close()

    def append(self, rows: np.ndarray) -> None:
        """Append records.

        Args:
            rows: (N,) of the type of the buffer.
        """
        self._pending.append(np.ascontiguousarray(rows, dtype=self.dtype))
        self._n_pending += len(rows)
        if self._n_pending >= MAX_PENDING_ROWS:
            self._flush()

    def read(self) -> np.ndarray:
        """Return all records (N,) as a read-only array, which the system pages in from disk as needed."""
        self._flush()
        stored = np.zeros(0, dtype=self.dtype)
        if self._n_stored and self._file is not None:  # an empty file cannot be mapped
            stored = np.memmap(self._file, dtype=self.dtype, mode="r", shape=(self._n_stored,))
        return np.concatenate([stored, *self._pending]) if self._pending else stored

    def _flush(self) -> None:
        if self._file is None or not self._is_writable or not self._pending:
            return
        end = self._n_stored * self.dtype.itemsize
        try:
            rest = memoryview(np.concatenate(self._pending).tobytes())
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file.fileno(), end)
            self._keep_in_memory(error)
            return
        self._n_stored, self._n_pending = len(self), 0
        self._pending.clear()

    def _keep_in_memory(self, error: OSError) -> None:
        self._is_writable = False
        reason = printable(error.strerror or str(error))
        _log.warning("smirk3d: no space for temporary files (%s); going on in memory; set TMPDIR to a folder", reason)
