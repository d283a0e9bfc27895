"""Records that were appended are read back."""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np
import pytest

from smirk3d.tracking.record_buffer import RecordBuffer


def test_records_are_read_back_as_they_were_appended() -> None:
    dtype = np.dtype([("frame", "i8"), ("points", "f4", (3, 2))])
    rows = np.zeros(200, dtype=dtype)
    rows["frame"], rows["points"] = np.arange(200), np.random.default_rng(0).random((200, 3, 2))
    with RecordBuffer(dtype) as records:
        assert len(records.read()) == 0
        for part in np.split(rows, 40):
            records.append(part)
        assert len(records) == 200
        np.testing.assert_array_equal(np.array(records.read()), rows)
        records.append(rows[:1])
        assert len(records.read()) == 201


@pytest.mark.parametrize("fails", ["at once", "later", "in the middle of a record"])
def test_records_stay_in_memory_where_the_disk_is_full(
    fails: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    original, n_written = tempfile.TemporaryFile, 0

    class FullFile:
        def __init__(self, file: Any) -> None:
            self._file = file

        def write(self, content: memoryview) -> int:
            nonlocal n_written
            n_written += 1
            if n_written > 2:
                raise OSError(28, "No space left on device")
            half = len(content) // 2 + 1
            return self._file.write(content[:half] if fails != "later" and n_written == 2 else content)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._file, name)

    def open_file(**options: Any) -> FullFile:
        if fails == "at once":
            raise OSError(30, "Read-only file system")
        return FullFile(original(**options))

    monkeypatch.setattr(tempfile, "TemporaryFile", open_file)
    monkeypatch.setattr(np, "memmap", lambda file, dtype, mode, shape: np.fromfile(file._file, dtype, shape[0]))
    rows = np.arange(300.0).view(np.dtype([("value", "f8")]))
    with RecordBuffer(rows.dtype) as records:
        for part in np.split(rows, 20):
            records.append(part)
        if records._file is not None:
            records._file.seek(0)
        np.testing.assert_array_equal(np.array(records.read()), rows)
        assert len(records) == 300
    assert len([line for line in caplog.messages if "going on in memory" in line]) == 1
