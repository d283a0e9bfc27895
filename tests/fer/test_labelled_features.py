"""Features and labels are matched by key."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from smirk3d.errors import Smirk3dError
from smirk3d.export.tables.features import FeatureRow, write_features
from smirk3d.fer.labelled_features import join_labels, read_features

KEYS = ("photos/a.jpg", "photos/b.jpg", "photos/c.jpg")


def _features(path: Path) -> np.ndarray:
    values = np.arange(6, dtype=np.float32).reshape(3, 2)
    write_features([FeatureRow(key, ("x", "y"), row) for key, row in zip(KEYS, values)], path)
    return values


@pytest.mark.parametrize("suffix", [".npz", ".csv", ".parquet"])
def test_all_formats_are_read(tmp_path: Path, suffix: str) -> None:
    values = _features(path := tmp_path / f"f{suffix}")
    keys, found = read_features(path)
    assert tuple(keys) == KEYS and np.array_equal(found, values)


@pytest.mark.parametrize("prefix", ["photos/", "elsewhere/", ""])
def test_labels_are_matched_by_key_or_by_file_name(tmp_path: Path, prefix: str) -> None:
    _features(path := tmp_path / "f.npz")
    table = tmp_path / "labels.csv"
    table.write_text(f"image,emotion,person\n{prefix}b.jpg,sad,P\n{prefix}a.jpg,glad,Q\n{prefix}c.jpg,,Q\n")
    joined = join_labels(path, table, "emotion", "person")
    assert joined.labels == ("glad", "sad") and joined.groups == ("Q", "P") and joined.unlabelled == 1
    assert joined.features.tolist() == [[0, 1], [2, 3]]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("name,label\na.jpg,x\n", "lacks a column with keys"),
        ("key,emotion\na.jpg,x\n", "lacks the column label"),
        ("key,label\nz.jpg,x\n", "no label for any face"),
        ("key,label\n1/a.jpg,x\n2/a.jpg,y\n", "a.jpg occurs twice"),
    ],
)
def test_a_table_that_does_not_fit_is_an_error(tmp_path: Path, content: str, reason: str) -> None:
    _features(path := tmp_path / "f.npz")
    table = tmp_path / "labels.csv"
    table.write_text(content)
    with pytest.raises(Smirk3dError, match=reason) as caught:
        join_labels(path, table)
    assert "\n" not in str(caught.value)


def test_another_file_is_an_error(tmp_path: Path) -> None:
    for name in ("f.npz", "f.csv", "f.parquet", "f.txt"):
        (tmp_path / name).write_text("no")
        with pytest.raises(Smirk3dError, match=name):
            read_features(tmp_path / name)
