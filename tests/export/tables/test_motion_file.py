"""Motions, read from files that the package or pandas wrote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.transform import Rotation
from synthetic_track import synthetic_track

from smirk3d.errors import Smirk3dError, UsageError
from smirk3d.export.tables.expression_file import Expressions
from smirk3d.export.tables.livelink import save_livelink
from smirk3d.export.tables.motion_file import KeyframeMotion, MotionFile, read_motion
from smirk3d.export.tables.track_table import save_track_npz, write_track_table
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.track import Track

MATRIX = [f"r{row}{column}" for row in range(3) for column in range(3)]


def no_coefficients(_: Expressions) -> np.ndarray:
    raise AssertionError("these files have ARKit weights")


def read(path: Path, fps: float | None = None) -> MotionFile:
    return read_motion(path, fps, no_coefficients)


def turned(motion: KeyframeMotion) -> np.ndarray:
    assert motion.rotation_rotmat is not None
    assert motion.rotation_rotmat.shape == (len(motion.time_s), 3, 3)
    return motion.rotation_rotmat


@pytest.fixture(scope="module")
def track(open_head: HeadModel) -> Track:
    """A head that rotates about all three axes; three frames are lost."""
    found = synthetic_track(open_head, 12, lost=slice(5, 8))
    angles = np.stack([np.linspace(-60, 50, 12), np.linspace(30, -25, 12), np.linspace(-15, 20, 12)], axis=1)
    rotmat = Rotation.from_euler("YXZ", angles, degrees=True).as_matrix().astype(np.float32)
    rotmat[5:8] = np.nan
    return found.replace(rotation_rotmat=rotmat)


KEYS = [0, 1, 2, 3, 4, 7, 8, 9, 10, 11]
"""The last lost frame has a key, with the values before the gap."""
SOURCE = [0, 1, 2, 3, 4, 4, 8, 9, 10, 11]


@pytest.mark.parametrize("suffix", [".npz", ".csv", ".parquet"])
def test_a_clip_is_the_same_in_all_its_files(suffix: str, track: Track, tmp_path: Path) -> None:
    path = tmp_path / f"clip{suffix}"
    if suffix == ".npz":
        save_track_npz(track, path)
    else:
        write_track_table([track], path)
    found = read(path)
    assert (found.n_frames, found.n_lost) == (12, 3)
    np.testing.assert_allclose(found.keys.time_s, track.time_s[KEYS], atol=1e-6)
    np.testing.assert_allclose(found.keys.arkit, track.arkit[SOURCE], atol=1e-6)
    np.testing.assert_allclose(turned(found.keys), track.rotation_rotmat[SOURCE], atol=1e-6)


def test_a_recording_has_the_head_rotation_of_its_track(track: Track, tmp_path: Path) -> None:
    save_livelink(track, tmp_path / "clip.csv")
    found = read(tmp_path / "clip.csv", 25)
    assert (found.n_frames, found.n_lost) == (12, 3)
    np.testing.assert_allclose(found.keys.time_s, np.array(KEYS) / 25)
    np.testing.assert_allclose(found.keys.arkit, track.arkit[SOURCE], atol=1e-6)
    np.testing.assert_allclose(turned(found.keys), track.rotation_rotmat[SOURCE], atol=1e-6)


def _recording(path: Path, angles_rad: Sequence[Sequence[float]]) -> Path:
    """Write a recording of a neutral face in the app's format, with these yaw, pitch and roll angles of the head."""
    weights = pd.DataFrame(
        0.0, index=range(len(angles_rad)), columns=[name[0].upper() + name[1:] for name in ARKIT_NAMES]
    )
    codes = [f"00:00:00:{k:02d}.000" for k in range(len(angles_rad))]
    angles = pd.DataFrame(angles_rad, columns=["HeadYaw", "HeadPitch", "HeadRoll"])
    table = pd.concat([pd.DataFrame({"Timecode": codes, "BlendshapeCount": 61}), weights, angles], axis=1)
    table.to_csv(path, index=False)
    return path


def test_signs_of_the_app(tmp_path: Path) -> None:
    """Yaw > 0 is to the subject's right (-X), pitch > 0 is down, roll > 0 tilts the top of the head to the right."""
    path = _recording(tmp_path / "take.csv", [(0.3, 0, 0), (0, 0.3, 0), (0, 0, 0.3), (0.5, -0.4, 0.2)])
    rotmat = turned(read(path).keys)
    looks, top = rotmat[:, :, 2], rotmat[:, :, 1]
    np.testing.assert_allclose(looks[0], (-np.sin(0.3), 0, np.cos(0.3)), atol=1e-9)
    np.testing.assert_allclose(looks[1], (0, -np.sin(0.3), np.cos(0.3)), atol=1e-9)
    np.testing.assert_allclose(top[2], (-np.sin(0.3), np.cos(0.3), 0), atol=1e-9)
    np.testing.assert_allclose(rotmat[3], Rotation.from_euler("XYZ", (-0.4, -0.5, 0.2)).as_matrix(), atol=1e-9)


def test_without_head_rotation_the_app_writes_zeros(tmp_path: Path) -> None:
    assert read(_recording(tmp_path / "take.csv", [(0, 0, 0)] * 3)).keys.rotation_rotmat is None


def test_degrees_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Smirk3dError, match=r"take.csv: headyaw...headroll are no rotation in some row"):
        read(_recording(tmp_path / "take.csv", [(0, 0, 0), (20, 5, 1)]))


def _table(clip: Track, path: Path, /, **changes: object) -> Path:
    """Write the table of a clip with other values in some columns; those that are None are left out."""
    write_track_table([clip], path)
    table = pd.read_csv(path).assign(**{name: value for name, value in changes.items() if value is not None})
    table.drop(columns=[name for name, value in changes.items() if value is None]).to_csv(path, index=False)
    return path


def test_a_table_without_times_and_rotations(track: Track, tmp_path: Path) -> None:
    path = _table(track, tmp_path / "clip.csv", **dict.fromkeys(("time_s", "r11", "yaw")))
    found = read(path, 10).keys
    np.testing.assert_allclose(found.time_s, np.array(KEYS) / 10)
    assert found.rotation_rotmat is None


def test_angles_in_degrees_stand_for_a_missing_matrix(track: Track, tmp_path: Path) -> None:
    whole = read(_table(track, tmp_path / "a.csv")).keys.rotation_rotmat
    angles = read(_table(track, tmp_path / "b.csv", r11=None)).keys.rotation_rotmat
    np.testing.assert_allclose(angles, whole, atol=1e-3)  # the table has angles to two decimals
    assert not np.allclose(whole, np.eye(3), atol=0.05)


def test_empty_rotations_are_none(track: Track, tmp_path: Path) -> None:
    path = _table(track, tmp_path / "clip.csv", **dict.fromkeys((*MATRIX, "yaw", "pitch", "roll"), np.nan))
    assert read(path).keys.rotation_rotmat is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"r11": 0.3}, "clip.csv: r00...r22 are no rotation in some row with weights; correct them, or leave the "),
        ({"r22": np.where(np.arange(12) == 2, np.nan, 1)}, "r00...r22 are no rotation"),
        ({"r22": np.inf}, "r00...r22 are no rotation"),
        ({"r00": "x"}, "clip.csv: r00...r22: could not convert string to float: 'x'; correct it, or leave the column"),
        ({"time_s": np.arange(12)[::-1]}, "clip.csv: its times do not increase; name the .npz of one person"),
        ({"time_s": np.where(np.arange(12) == 2, np.nan, 1)}, "clip.csv: 'time_s' is not a number in all rows"),
        ({"track": [0] * 6 + [1] * 6}, "clip.csv: holds 2 people; name the .npz of one of them"),
    ],
)
def test_implausible_tables_are_refused(changes: dict, reason: str, track: Track, tmp_path: Path) -> None:
    path = _table(track, tmp_path / "clip.csv", **changes)
    with pytest.raises(Smirk3dError) as refused:
        read(path)
    assert reason in str(refused.value) and "\n" not in str(refused.value)


def test_mirrored_rotations_are_refused(track: Track, tmp_path: Path) -> None:
    path = _table(track, tmp_path / "clip.csv", **dict(zip(MATRIX, np.diag([1, 1, -1]).ravel(), strict=True)))
    with pytest.raises(Smirk3dError, match="are no rotation"):
        read(path)


def test_invalid_parquet_tables_are_refused(track: Track, tmp_path: Path) -> None:
    path = tmp_path / "clip.parquet"
    for content, reason in ((b"", "cannot be read as a table"), (b"PAR1 and more", "cannot be read as a table")):
        path.write_bytes(content)
        with pytest.raises(Smirk3dError, match=f"clip.parquet: {reason}"):
            read(path)
    with pytest.raises(Smirk3dError, match=r"none.parquet: cannot be read as a table \(No such file"):
        read(tmp_path / "none.parquet")
    write_track_table([track], path)
    table = pd.read_parquet(path)
    table.drop(columns=list(ARKIT_NAMES)).to_parquet(path)
    with pytest.raises(Smirk3dError, match="none of its columns is named as one of the 52 ARKit weights"):
        read(path)
    table.dropna(subset=["jawOpen"]).assign(jawOpen=100.0).to_parquet(path)
    with pytest.raises(Smirk3dError, match=r"the ARKit weights go from 0 to 100, expected 0 to 1"):
        read(path)


def test_two_people_in_a_parquet_table(track: Track, tmp_path: Path) -> None:
    later = replace(track, number=1, time_s=track.time_s + 10)
    write_track_table([track, later], tmp_path / "clip.parquet")
    with pytest.raises(Smirk3dError, match="holds 2 people"):
        read(tmp_path / "clip.parquet")


def test_frame_rate(track: Track, tmp_path: Path) -> None:
    save_livelink(track.frames(slice(0, 4)), tmp_path / "take.csv")
    found = read(tmp_path / "take.csv")  # no change of the second
    np.testing.assert_allclose(found.keys.time_s, np.arange(4) / 25, atol=1e-4)
    assert found.note.endswith(
        "take.csv: its time codes do not determine the frame rate; assuming 30, --fps changes it"
    )
    assert not read(tmp_path / "take.csv", 20).note
    with pytest.raises(UsageError, match="count to frame 7 of a second; give --fps 24"):
        read(tmp_path / "take.csv", 5)
    write_track_table([track], tmp_path / "clip.csv")
    with pytest.raises(UsageError, match="has its own time stamps"):
        read(tmp_path / "clip.csv", 25)


@pytest.mark.parametrize("rate_fps", [24.0, 25.0, 29.97, 60.0])
def test_frame_rate_of_time_codes(rate_fps: float, open_head: HeadModel, tmp_path: Path) -> None:
    track = synthetic_track(open_head, 90, rate_fps, lost=slice(30, 40))
    save_livelink(track, tmp_path / "clip_livelink.csv")
    found = read(tmp_path / "clip_livelink.csv")
    keys = track.known | np.append(track.known[1:], True)
    np.testing.assert_allclose(found.keys.time_s, (track.time_s - track.time_s[0])[keys], atol=2e-3)
    assert found.n_frames == 90 and found.n_lost == 10 and not found.note
    np.testing.assert_allclose(read(tmp_path / "clip_livelink.csv", 120).keys.time_s, np.flatnonzero(keys) / 120)


def test_coefficients_are_converted(tmp_path: Path) -> None:
    expression = np.random.default_rng(0).normal(size=(5, 50)).astype(np.float32)
    np.savez(tmp_path / "flame.npz", expression=expression)

    def to_arkit(given: Expressions) -> np.ndarray:
        np.testing.assert_array_equal(given.arrays["expression"], expression)
        return np.full((5, 52), 1.5)

    found = read_motion(tmp_path / "flame.npz", None, to_arkit).keys
    assert found.arkit.shape == (5, 52) and (found.arkit == 1).all() and found.rotation_rotmat is None


def test_a_clip_without_a_face_is_refused(open_head: HeadModel, tmp_path: Path) -> None:
    lost = synthetic_track(open_head, 4, lost=slice(0, 4))
    write_track_table([lost], tmp_path / "clip.parquet")
    with pytest.raises(Smirk3dError, match=r"clip.parquet: the face was lost in all frames"):
        read(tmp_path / "clip.parquet")


def test_a_parquet_that_is_too_large_or_of_text_is_refused_before_it_is_read(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    names = ["track", "time_s", *ARKIT_NAMES]
    zeros = pyarrow.array(np.zeros(400_000, np.float32))
    parquet.write_table(pyarrow.table(dict.fromkeys(names, zeros)), tmp_path / "long.parquet")
    text = pyarrow.array(["0" * 1000] * 3)
    parquet.write_table(pyarrow.table(dict.fromkeys(names, text)), tmp_path / "text.parquet")
    for name, reason in (("long", "cells"), ("text", "not of numbers")):
        with pytest.raises(Smirk3dError, match=rf"{name}\.parquet: .*{reason}"):
            read_motion(tmp_path / f"{name}.parquet", None, lambda expressions: np.zeros((0, 52)))
