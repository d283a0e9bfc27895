"""Records that were appended are read back."""

from __future__ import annotations

import numpy as np

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
