"""Tables of labels that cannot be read: the remedy fits the reason, in every reader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from smirk3d.errors import Smirk3dError
from smirk3d.fer.dataset_readers.csv_rows import column_names, rows_without_header
from smirk3d.fer.vae.directions_file import read_attributes

READERS = [column_names, lambda path: list(rows_without_header(path)), read_attributes]


@pytest.mark.parametrize("read", READERS)
def test_the_remedy_fits_the_reason(read: Callable[[Path], object], tmp_path: Path) -> None:
    with pytest.raises(Smirk3dError, match=r"none\.csv: unreadable \(No such file or directory\); check the path$"):
        read(tmp_path / "none.csv")
    (tmp_path / "latin.csv").write_bytes("key,größe\n".encode("latin-1"))
    with pytest.raises(Smirk3dError, match=r"latin\.csv: unreadable \(.*\); give a table in UTF-8$"):
        read(tmp_path / "latin.csv")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_other_encodings_with_a_mark_are_read(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("path,größe\na.jpg,1\n", encoding=encoding)
    assert column_names(path) == ["path", "größe"]
