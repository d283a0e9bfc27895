"""Records on disk, so that a long video takes no more memory than a short one."""

from __future__ import annotations

import tempfile

import numpy as np

MAX_PENDING_ROWS = 64
"""Rows that are kept in memory before they are written."""


class RecordBuffer:
    """A growing table of records in a temporary file that is deleted on closing; a context manager.

    Args:
        dtype: Structured type of the records.
    """

    def __init__(self, dtype: np.dtype) -> None:
        self.dtype = dtype
        self._file = tempfile.TemporaryFile(prefix="smirk3d-")  # noqa: SIM115 - it lives as long as the buffer
        self._pending: list[np.ndarray] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __enter__(self) -> RecordBuffer:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._file.close()

    def append(self, rows: np.ndarray) -> None:
        """Append records.

        Args:
            rows: (N,) of the type of the buffer.
        """
        self._pending.append(rows)
        self._count += len(rows)
        if sum(map(len, self._pending)) >= MAX_PENDING_ROWS:
            self._flush()

    def read(self) -> np.ndarray:
        """Return all records (N,) as a read-only array, which the system pages in from disk as needed."""
        self._flush()
        if not self._count:  # an empty file cannot be mapped
            return np.zeros(0, dtype=self.dtype)
        return np.memmap(self._file, dtype=self.dtype, mode="r", shape=(self._count,))

    def _flush(self) -> None:
        for rows in self._pending:
            self._file.write(np.ascontiguousarray(rows, dtype=self.dtype).tobytes())
        self._pending.clear()
        self._file.flush()
