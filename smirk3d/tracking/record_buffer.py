"""Rows of numbers that wait on disk, so that a long video takes no more memory than a short one."""

from __future__ import annotations

import tempfile

import numpy as np

MAX_PENDING_ROWS = 64


class RecordBuffer:
    """A growing table of records in a temporary file that is gone when it is closed; a context manager.

    Args:
        dtype: Structured type of the rows.
    """

    def __init__(self, dtype: np.dtype) -> None:
        self.dtype = dtype
        self._file = tempfile.TemporaryFile(prefix="smirk3d-")  # noqa: SIM115 - it lives as long as the spool
        self._waiting: list[np.ndarray] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __enter__(self) -> RecordBuffer:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._file.close()

    def append(self, rows: np.ndarray) -> None:
        """Add records (N,) of the type of the spool."""
        self._waiting.append(rows)
        self._count += len(rows)
        if sum(map(len, self._waiting)) >= MAX_PENDING_ROWS:
            self._flush()

    def read(self) -> np.ndarray:
        """Return all records (N,) as an array that the system reads from disk as needed; it cannot be written."""
        self._flush()
        if not self._count:
            return np.zeros(0, dtype=self.dtype)
        return np.memmap(self._file, dtype=self.dtype, mode="r", shape=(self._count,))

    def _flush(self) -> None:
        for rows in self._waiting:
            self._file.write(np.ascontiguousarray(rows, dtype=self.dtype).tobytes())
        self._waiting.clear()
        self._file.flush()
