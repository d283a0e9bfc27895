"""Tables and archives of a clip, read back with pandas and numpy."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
from synthetic_track import synthetic_track

from smirk3d.errors import Smirk3dError
from smirk3d.export.tables.expression_file import read_expressions
from smirk3d.export.tables.track_table import read_track_npz, save_track_npz, table_columns, write_track_table
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.head.registry import register
from smirk3d.track import FRAME_FIELDS, Track

READERS = {".csv": pd.read_csv, ".parquet": pd.read_parquet}


@pytest.fixture(scope="module")
def track(open_head) -> Track:
    return synthetic_track(open_head, 40, lost=slice(10, 15))


@pytest.fixture(scope="module")
def own_track(tiny_data, open_head) -> Track:
    """A track of a head whose coefficients are not the ARKit weights."""
    head, base = HeadModel(tiny_data), synthetic_track(open_head, 6)
    random = np.random.default_rng(0)
    expression = random.normal(size=(6, head.n_expression)).astype(np.float32)
    return replace(
        base, number=1, head_id=register(head), shape=np.ones(head.n_shape, np.float32), expression=expression
    )


@pytest.fixture(params=[".csv", ".parquet"])
def table(request, track, tmp_path) -> pd.DataFrame:
    path = tmp_path / f"clip{request.param}"
    write_track_table([track], path)
    return READERS[request.param](path)


def test_pandas_reads_every_number(table, track):
    assert tuple(table.columns) == table_columns([track])
    known = track.known
    expected = {
        ("frame",): track.frame[:, None],
        ("time_s",): track.time_s[:, None],
        ("yaw", "pitch", "roll"): track.angles_deg,
        tuple(f"r{row}{column}" for row in range(3) for column in range(3)): track.rotation_rotmat.reshape(-1, 9),
        ("tx", "ty", "tz"): track.translation_m,
        ("scale_px_per_m",): track.scale_px_per_m[:, None],
        ("confidence",): track.confidence[:, None],
        ("x0", "y0", "x1", "y1"): track.box_px,
        ARKIT_NAMES: track.arkit,
        ("jaw_x", "jaw_y", "jaw_z"): track.jaw,
        ("eyelid_left", "eyelid_right"): track.eyelids,
        ("eye_left_x", "eye_left_y", "eye_left_z"): track.eyes[:, :3],
        ("eye_right_x", "eye_right_y", "eye_right_z"): track.eyes[:, 3:],
        tuple(table.columns[-4:]): track.visibility,
    }
    for names, values in expected.items():
        np.testing.assert_allclose(table[list(names)].to_numpy()[known], values[known], rtol=1e-5, atol=1e-6)
    assert {"track", "status", "method"} == set(table.columns) - {name for names in expected for name in names}


def test_rotation_to_the_subjects_left_has_positive_yaw(table):
    """At the end of the track +Z of the head points to +X, the right side of the image."""
    last = table.iloc[-1]
    assert last["yaw"] == pytest.approx(20, abs=1e-3) and last["r02"] > 0.3


def test_lost_frames_have_a_row_without_values(table):
    lost = table[table["status"] == "lost"]
    assert lost["frame"].tolist() == [13, 14, 15, 16, 17]
    without = [name for name in table.columns if name not in ("frame", "time_s", "track", "status", "method")]
    assert lost[without].isna().all(axis=None)
    assert table[table["status"] == "seen"].notna().all(axis=None)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_tracks_of_different_heads_share_a_table(track, own_track, tmp_path, suffix):
    path = tmp_path / f"clip{suffix}"
    write_track_table([track, own_track], path)
    table = READERS[suffix](path)
    names = [f"expression_{index}" for index in range(own_track.expression.shape[1])]
    assert list(table.columns[-len(names) - 4 : -4]) == names
    assert table["track"].tolist() == [0] * 40 + [1] * 6
    own = table[table["track"] == 1][names].to_numpy()
    np.testing.assert_allclose(own, own_track.expression, rtol=1e-5)
    assert table[table["track"] == 0][names].isna().all(axis=None)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_clip_without_people_has_an_empty_table(tmp_path, suffix):
    write_track_table([], tmp_path / f"clip{suffix}")
    table = READERS[suffix](tmp_path / f"clip{suffix}")
    assert len(table) == 0 and list(table.columns)[:3] == ["frame", "time_s", "track"]


def test_unknown_values_are_null_in_parquet(track, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    write_track_table([track], tmp_path / "clip.parquet")
    table = parquet.read_table(tmp_path / "clip.parquet")
    assert [table[name].null_count for name in ("frame", "confidence", "yaw", "jawOpen", "x1")] == [0, 5, 5, 5, 5]


def test_other_formats_are_refused(track, tmp_path):
    with pytest.raises(Smirk3dError, match=r"clip\.xlsx: unknown format '\.xlsx'; choose one of \.csv \.parquet"):
        write_track_table([track], tmp_path / "clip.xlsx")


def test_parquet_without_pyarrow_names_the_extra(track, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(Smirk3dError, match=r"smirk3d\[tables\]"):
        write_track_table([track], tmp_path / "clip.parquet")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("which", ["track", "own_track"])
@pytest.mark.parametrize("focal_px", [600.5, None])
def test_an_archive_is_read_as_the_same_track(request, which, focal_px, tmp_path):
    track = replace(request.getfixturevalue(which), focal_px=focal_px)
    save_track_npz(track, tmp_path / "clip.npz")
    read = read_track_npz(tmp_path / "clip.npz", track.head)
    for field in fields(Track):
        given, found = getattr(track, field.name), getattr(read, field.name)
        if isinstance(given, np.ndarray):
            assert found.dtype == given.dtype
            np.testing.assert_array_equal(found, given)
        else:
            assert found == given and type(found) is type(given), field.name


def test_an_archive_without_visibilities_is_all_visible(track, tmp_path):
    save_track_npz(track, tmp_path / "clip.npz")
    with np.load(tmp_path / "clip.npz") as archive:
        older = {name: archive[name] for name in archive.files if name != "visibility"}
    np.savez(tmp_path / "older.npz", **older)
    read = read_track_npz(tmp_path / "older.npz", track.head)
    assert (read.visibility[track.known] == 1).all() and np.isnan(read.visibility[~track.known]).all()


def test_an_archive_is_complete_without_the_package(track, tmp_path):
    save_track_npz(track, tmp_path / "clip.npz")
    with np.load(tmp_path / "clip.npz", allow_pickle=False) as archive:
        arrays = dict(archive)
    assert {field.name for field in fields(Track)} - {"head_id", "appearance"} <= set(arrays) and "head" in arrays
    assert set(FRAME_FIELDS) <= set(arrays)
    assert str(arrays["head"]) == "open" and arrays["arkit_names"].tolist() == list(ARKIT_NAMES)
    assert arrays["frames"].tolist() == [str(frame) for frame in range(3, 43)]
    np.testing.assert_array_equal(arrays["angles_deg"], track.angles_deg)
    np.testing.assert_array_equal(arrays["neutral_vertices"], track.face(0).neutral_vertices)
    np.testing.assert_array_equal(arrays["triangles"], track.face(0).triangles)


@pytest.mark.parametrize("suffix", [".npz", ".csv"])
def test_read_expressions_leaves_out_lost_frames(track, tmp_path, suffix):
    path = tmp_path / f"clip{suffix}"
    (save_track_npz(track, path) if suffix == ".npz" else write_track_table([track], path))
    read = read_expressions(path)
    assert read.frames == tuple(str(frame) for frame in track.frame[track.known])
    np.testing.assert_allclose(read.arrays["arkit"], track.arkit[track.known], atol=1e-6)
    if suffix == ".npz":
        assert read.head == "open"
        np.testing.assert_array_equal(read.arrays["eyes"], track.eyes[track.known])
        np.testing.assert_array_equal(read.arrays["shape"][0], track.shape)


def test_frames_of_later_tracks_have_other_names(track, tmp_path):
    write_track_table([track, replace(track, number=2)], tmp_path / "clip.csv")
    frames = read_expressions(tmp_path / "clip.csv").frames
    assert frames[0] == "3" and frames[-1] == "42#2" and len(set(frames)) == len(frames)


def _without(name: str):
    return lambda arrays: arrays.pop(name)


def _with(**values):
    return lambda arrays: arrays.update(values)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (_without("arkit"), "it has no 'arkit'"),
        (_with(jaw=np.zeros((40, 2))), "'jaw' is float64 with the shape"),
        (_with(jaw=np.zeros((39, 3))), "'jaw' is float64 with the shape"),
        (_with(shape=np.zeros(3)), "'shape' is float64"),
        (_with(eyes=np.full((40, 6), "x")), "'eyes' is <U1"),
        (_with(status=np.full(40, 7)), "'status' has unknown values"),
        (_with(head=np.array("another")), "made with the head 'another', this is 'open'"),
        (_with(frame=np.array(5)), "'frame' is int64 with the shape ()"),
    ],
)
def test_archives_that_are_no_track_are_refused_with_a_reason(track, tmp_path, damage, reason):
    path = tmp_path / "clip.npz"
    save_track_npz(track, path)
    with np.load(path) as archive:
        arrays = dict(archive)
    damage(arrays)
    np.savez(path, **arrays)
    with pytest.raises(Smirk3dError) as caught:
        read_track_npz(path, track.head)
    assert reason in str(caught.value) and str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 broken", None])
def test_damaged_files_are_a_one_line_error(track, tmp_path, content):
    path = tmp_path / "clip.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Smirk3dError) as caught:
        read_track_npz(path, track.head)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_truncated_archive_is_a_one_line_error(track, tmp_path):
    path = tmp_path / "clip.npz"
    save_track_npz(track, path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(Smirk3dError, match="cannot be read as a track"):
        read_track_npz(path, track.head)


def test_pickled_objects_are_refused(track, tmp_path):
    path = tmp_path / "clip.npz"
    np.savez(path, frame=np.array([{}], dtype=object))
    with pytest.raises(Smirk3dError, match="Object arrays cannot be loaded"):
        read_track_npz(path, track.head)
