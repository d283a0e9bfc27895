from __future__ import annotations

import csv
import sys

import numpy as np
import pytest

from smirk3d.errors import Smirk3dError
from smirk3d.export.tables.features import feature_names, feature_row, write_features
from smirk3d.head.arkit import ARKIT_NAMES


@pytest.fixture(scope="module")
def rows(make_face):
    return [feature_row("a.jpg", 0, make_face(seed=0)), feature_row("a.jpg", 1, make_face(seed=1))]


def test_names_and_values(rows, make_face):
    face, row = make_face(seed=0), rows[0]
    assert row.names == feature_names(52) and len(row.names) == len(row.values) == 52 + 52 + 3 + 2 + 3
    assert row.names[:52] == ARKIT_NAMES and row.names[52] == "expression_00" and row.names[103] == "expression_51"
    assert row.names[104:] == (
        *("jaw_x", "jaw_y", "jaw_z", "eyelid_left", "eyelid_right", "pose_x", "pose_y", "pose_z"),
    )
    np.testing.assert_allclose(row.values[:52], list(face.arkit.values()), atol=1e-6)
    axis = row.values[-3:].astype(np.float64)
    angle = np.linalg.norm(axis)
    assert 2 * np.cos(angle) + 1 == pytest.approx(np.trace(face.rotation), abs=1e-5)
    np.testing.assert_allclose(face.rotation @ axis, axis, atol=1e-6)
    assert [r.key for r in rows] == ["a.jpg", "a.jpg#1"]


def test_npz(rows, tmp_path):
    assert write_features(iter(rows), tmp_path / "f.npz") == 2
    with np.load(tmp_path / "f.npz", allow_pickle=False) as file:
        assert file["keys"].tolist() == ["a.jpg", "a.jpg#1"] and tuple(file["names"]) == rows[0].names
        assert file["features"].dtype == np.float32
        np.testing.assert_array_equal(file["features"][1], rows[1].values)


def test_csv(rows, tmp_path):
    write_features(rows, tmp_path / "f.csv")
    with open(tmp_path / "f.csv", newline="") as file:
        header, first, _second = csv.reader(file)
    assert header == ["key", *rows[0].names]
    np.testing.assert_allclose([float(x) for x in first[1:]], rows[0].values, rtol=1e-5)


def test_parquet(rows, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    assert write_features(rows * 700, tmp_path / "f.parquet") == 1400
    table = parquet.read_table(tmp_path / "f.parquet")
    assert table.column_names == ["key", *rows[0].names] and table.num_rows == 1400
    np.testing.assert_array_equal(table["jawOpen"].to_numpy()[1], rows[1].values[ARKIT_NAMES.index("jawOpen")])


def test_parquet_without_pyarrow_names_the_extra(rows, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(Smirk3dError, match=r"smirk3d\[tables\]"):
        write_features(rows, tmp_path / "f.parquet")
    assert not list(tmp_path.iterdir())


def test_refusals_leave_no_file(rows, tmp_path):
    other = type(rows[0])("b.jpg", rows[0].names[:-1], rows[0].values[:-1])
    for bad, name, message in (
        ([], "f.npz", "no face"),
        (rows, "f.txt", "unknown format"),
        ([*rows, other], "f.csv", "b.jpg"),
    ):
        with pytest.raises(Smirk3dError, match=message):
            write_features(bad, tmp_path / name)
    assert not list(tmp_path.iterdir())
