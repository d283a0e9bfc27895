"""What travels to the workers of a cluster comes back as it was."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from smirk3d.batch.naming import Job
from smirk3d.scale.dataset_photos import DatasetPhoto
from smirk3d.scale.remote_photos import FilePart, MissingPhoto
from smirk3d.scale.shard_task import UnitCounts
from smirk3d.scale.unit_json import decode_counts, decode_unit, encode_counts, encode_unit
from smirk3d.scale.units import Unit

LATIN_1 = os.fsdecode("Zoë.jpg".encode("latin-1"))
"""The name of a file that is no UTF-8."""


def test_units_come_back_as_they_were() -> None:
    photos = (
        FilePart("s3://b/头.jpg", "s3://b?region=x", "头.jpg", 1 << 40, 77),
        MissingPhoto("gone.tar", 'is "damaged"\\'),
        DatasetPhoto("hf:faces:val", 12),
    )
    plain = (Job(Path("a/b.png"), "b"), Job(Path(LATIN_1), LATIN_1[:-4]))
    unit = Unit("0a1b", (plain, tuple(Job(Path(each.name), "x", each) for each in photos), ()))
    text = encode_unit(unit)
    assert decode_unit(text) == unit and text.isascii()
    json.loads(text)


def test_counts_come_back_as_they_were() -> None:
    counts = UnitCounts(3, 2, 5, (("头.jpg", "no face"), (LATIN_1, "cannot be read")))
    assert decode_counts(encode_counts(counts)) == counts
    assert decode_counts(encode_counts(UnitCounts(0, 0, 0))) == UnitCounts(0, 0, 0)


def test_other_photos_are_refused() -> None:
    class OtherPhoto:
        name = "x"

    with pytest.raises(TypeError, match="OtherPhoto"):
        encode_unit(Unit("x", ((Job(Path("x"), "x", OtherPhoto()),),)))  # type: ignore[arg-type]
