"""Tables of Live Link Face, read back with pandas and compared with numbers from recordings of the app."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import roma
import torch
from synthetic_track import synthetic_track

from smirk3d.export.tables.expression_file import read_expressions
from smirk3d.export.tables.livelink import (
    LIVELINK_COLUMNS,
    livelink_angles,
    save_livelink,
    timecode,
    timecode_rate,
)
from smirk3d.export.tables.motion_file import read_motion
from smirk3d.export.tables.timecode import times_of_timecodes
from smirk3d.geometry.euler import rotation_from_angles
from smirk3d.head.arkit import ARKIT_NAMES

# The header of a recording.
HEADER = (
    "Timecode,BlendShapeCount,EyeBlinkLeft,EyeLookDownLeft,EyeLookInLeft,EyeLookOutLeft,EyeLookUpLeft,EyeSquintLeft,"
    "EyeWideLeft,EyeBlinkRight,EyeLookDownRight,EyeLookInRight,EyeLookOutRight,EyeLookUpRight,EyeSquintRight,"
    "EyeWideRight,JawForward,JawRight,JawLeft,JawOpen,MouthClose,MouthFunnel,MouthPucker,MouthRight,MouthLeft,"
    "MouthSmileLeft,MouthSmileRight,MouthFrownLeft,MouthFrownRight,MouthDimpleLeft,MouthDimpleRight,MouthStretchLeft,"
    "MouthStretchRight,MouthRollLower,MouthRollUpper,MouthShrugLower,MouthShrugUpper,MouthPressLeft,MouthPressRight,"
    "MouthLowerDownLeft,MouthLowerDownRight,MouthUpperUpLeft,MouthUpperUpRight,BrowDownLeft,BrowDownRight,BrowInnerUp,"
    "BrowOuterUpLeft,BrowOuterUpRight,CheekPuff,CheekSquintLeft,CheekSquintRight,NoseSneerLeft,NoseSneerRight,"
    "TongueOut,HeadYaw,HeadPitch,HeadRoll,LeftEyeYaw,LeftEyePitch,LeftEyeRoll,RightEyeYaw,RightEyePitch,RightEyeRoll"
)
# Yaw, pitch and roll of a left eye that looks to the subject's left and up (EyeLookOutLeft 0.50, EyeLookUpLeft 0.38),
# and of one that looks down (EyeLookDownLeft 0.21), as recorded.
RECORDED_EYES = [(-0.3596782684, -0.1741501987, 0.0618444942), (-0.1109636500, 0.1285928488, -0.0143178990)]


@pytest.fixture(scope="module")
def track(open_head):
    return synthetic_track(open_head, 40, lost=slice(10, 15))


@pytest.fixture(scope="module")
def path(track, tmp_path_factory):
    path = tmp_path_factory.mktemp("livelink") / "clip.csv"
    save_livelink(track, path, start_s=3661)
    return path


def test_columns_are_those_of_the_app(path):
    assert path.read_text().splitlines()[0] == HEADER
    assert len(LIVELINK_COLUMNS) == 2 + 61


def test_pandas_reads_the_weights_under_their_names(path, track):
    table = pd.read_csv(path)
    assert len(table) == len(track)
    for column, name in enumerate(ARKIT_NAMES):
        found = table[name[0].upper() + name[1:]][track.known]
        np.testing.assert_allclose(found, track.arkit[track.known, column], atol=1e-9)


def test_left_and_right_of_jaw_and_mouth_are_not_swapped(open_head, tmp_path):
    track = synthetic_track(open_head, 2)
    track.arkit[:, ARKIT_NAMES.index("jawLeft")], track.arkit[:, ARKIT_NAMES.index("mouthRight")] = 0.25, 0.75
    save_livelink(track, tmp_path / "clip.csv")
    row = pd.read_csv(tmp_path / "clip.csv").iloc[0]
    assert [row[name] for name in ("JawLeft", "JawRight", "MouthLeft", "MouthRight")] == [0.25, 0, 0, 0.75]


def test_lost_frames_have_a_count_of_zero_and_hold_the_last_pose(path):
    table = pd.read_csv(path)
    np.testing.assert_array_equal(np.flatnonzero(table["BlendShapeCount"] == 0), range(10, 15))
    assert (table["BlendShapeCount"].drop(range(10, 15)) == 61).all() and table.notna().to_numpy().all()
    numbers = table.iloc[:, 2:].to_numpy()
    assert (numbers[10:15] == numbers[9]).all() and (numbers[15] != numbers[9]).any()


def test_lost_frames_may_be_blank(track, tmp_path):
    save_livelink(track, tmp_path / "clip.csv", blank_lost=True)
    table = pd.read_csv(tmp_path / "clip.csv")
    lost = table["BlendShapeCount"] == 0
    np.testing.assert_array_equal(np.flatnonzero(lost), range(10, 15))
    assert table[lost].iloc[:, 2:].isna().to_numpy().all() and table[~lost].notna().to_numpy().all()


def test_before_the_first_face_rows_hold_its_first_pose(open_head, tmp_path):
    save_livelink(synthetic_track(open_head, 6, lost=slice(0, 3)), tmp_path / "late.csv")
    numbers = pd.read_csv(tmp_path / "late.csv").iloc[:, 2:].to_numpy()
    assert (numbers[:3] == numbers[3]).all()
    save_livelink(synthetic_track(open_head, 6, lost=slice(0, 6)), tmp_path / "never.csv")
    assert not pd.read_csv(tmp_path / "never.csv").iloc[:, 1:].to_numpy().any()


def test_read_expressions_reads_the_table(path, track):
    read = read_expressions(path)
    np.testing.assert_allclose(read.arrays["arkit"], track.arkit[track.known], atol=1e-6)
    assert read.frames[0] == "01:01:01:03.600" and len(read.frames) == track.known.sum()


@pytest.mark.parametrize(("yaw", "pitch", "roll"), RECORDED_EYES)
def test_a_gaze_has_the_angles_that_the_app_records(open_head, yaw, pitch, roll):
    # Where it looks follows from the recorded yaw and pitch; the eye gets there by turning about the vertical and
    # then about its own axis, and the roll is left to be found.
    left, up = -np.sin(yaw), -np.tan(pitch)  # components of the gaze, the second over the forward one
    forward = np.sqrt((1 - left**2) / (1 + up**2))
    vertical, own = np.arctan2(left, forward), -np.arcsin(up * forward)
    turn = roma.euler_to_rotvec("YX", [torch.tensor(vertical), torch.tensor(own)]).numpy()
    track = synthetic_track(open_head, 1)
    found = livelink_angles(track.replace(eyes=np.concatenate([turn, turn])[None]))
    np.testing.assert_allclose(found[0, 3:], [yaw, pitch, roll] * 2, atol=1e-6)


def test_gaze_follows_the_weights(open_head):
    """Signs as in the recordings: yaw < 0 is to the subject's left, pitch < 0 is up."""
    arkit = torch.zeros(4, 52)
    for row, name in enumerate(("eyeLookOutLeft", "eyeLookInRight", "eyeLookUpLeft", "eyeLookDownRight")):
        arkit[row, ARKIT_NAMES.index(name)] = 1
    turns = torch.einsum("be,ejk->bjk", arkit, open_head.expression_rotvec)[:, 3:].flatten(1).numpy()
    found = livelink_angles(synthetic_track(open_head, 4).replace(eyes=turns))
    yaw_left, pitch_left, _, yaw_right, pitch_right, _ = found[:, 3:].T
    assert yaw_left[0] < -0.3 and yaw_right[1] < -0.3
    assert pitch_left[2] < -0.1 and pitch_right[3] > 0.1


@pytest.mark.parametrize(
    ("angles_deg", "expected_deg"), [((30, 0, 0), (-30, 0, 0)), ((0, 20, 0), (0, -20, 0)), ((0, 0, 10), (0, 0, -10))]
)
def test_head_angles_have_the_signs_of_the_eyes(open_head, angles_deg, expected_deg):
    rotmat = rotation_from_angles(*angles_deg).astype(np.float32)[None]
    found = livelink_angles(synthetic_track(open_head, 1).replace(rotation_rotmat=rotmat))[0, :3]
    np.testing.assert_allclose(np.rad2deg(found), expected_deg, atol=1e-4)


@pytest.mark.parametrize(
    ("time_s", "rate_fps", "start_s", "expected"),
    [
        (0, 30, 0, "00:00:00:00.000"),
        (0.04 * 24, 30, 0, "00:00:00:28.800"),
        (1, 30, 0, "00:00:01:00.000"),
        (0.05, 60, 0, "00:00:00:03.000"),
        (3661.5, 60, 0, "01:01:01:30.000"),
        (30 * 1001 / 30000, 30, 0, "00:00:01:00.030"),
        (30 * 1001 / 30000, 30, 3600, "01:00:01:00.030"),
        (0.9999999, 30, 0, "00:00:01:00.000"),
        (1, 30, 24 * 3600 - 1, "00:00:00:00.000"),
    ],
)
def test_timecodes(time_s, rate_fps, start_s, expected):
    assert timecode(time_s, rate_fps, start_s) == expected


def _import_as_unreal(path) -> tuple[int, np.ndarray, np.ndarray]:
    """Return rate, times (T,) and values (T, 61) by the published rules of Unreal's importer (LiveLinkFaceImporter).

    The first two columns are named Timecode and BlendShapeCount. Lines are split at commas and empty cells dropped.
    The rate is 60 if a frame number exceeds 30, else 30. A line with another number of cells than the header ends the
    import. A time is that of hours, minutes and seconds plus the frame number divided by the rate.
    """
    header, *lines = [[cell for cell in line.split(",") if cell] for line in path.read_text().splitlines() if line]
    assert len(header) >= 3 and header[:2] == ["Timecode", "BlendShapeCount"]
    parts = [line[0].split(":") for line in lines]
    assert all(len(part) == 4 for part in parts)
    rate = 60 if any(float(part[3]) > 30 for part in parts) else 30
    times, values = [], []
    for part, line in zip(parts, lines, strict=True):
        if len(line) != len(header):
            break
        times.append(int(part[0]) * 3600 + int(part[1]) * 60 + int(part[2]) + float(part[3]) / rate)
        values.append([float(cell) for cell in line[2:]])
    return rate, np.array(times), np.array(values)


@pytest.mark.parametrize(
    "rate_fps", [15.0, 17.6, 23.976, 24.0, 25.0, 26.495, 29.97, 30.0, 48.0, 50.0, 59.94, 60.0, 120.0]
)
@pytest.mark.parametrize("n_frames", [10, 400])
def test_unreal_imports_all_rows_at_their_times(open_head, tmp_path, rate_fps, n_frames):
    track = synthetic_track(open_head, n_frames, rate_fps, lost=slice(4, 7))
    save_livelink(track, tmp_path / "clip.csv", start_s=3600)
    rate, times, values = _import_as_unreal(tmp_path / "clip.csv")
    assert rate in (30, 60) and len(times) == n_frames
    np.testing.assert_allclose(times, 3600 + track.time_s, atol=1e-3 / 30)
    np.testing.assert_allclose(values[track.known][:, 23], track.arkit[track.known, 23], atol=1e-9)
    whole = pd.read_csv(tmp_path / "clip.csv")["Timecode"].str.split(":", expand=True)[3].astype(float)
    assert (whole < rate).all()


@pytest.mark.parametrize("rate_fps", [17.6, 23.976, 25.0, 26.495, 29.97, 50.0, 59.94, 120.0])
def test_time_codes_do_not_drift(rate_fps):
    """They are as far from real time after ten minutes as at the beginning."""
    time_s = np.arange(0, 600, 1 / rate_fps)
    rate = timecode_rate(time_s, rate_fps)
    found = times_of_timecodes([timecode(time, rate) for time in time_s.tolist()])
    assert found is not None
    np.testing.assert_allclose(found, time_s, atol=1e-3 / 30)


def test_uneven_frames_keep_their_times(open_head, tmp_path):
    track = synthetic_track(open_head, 200, 26.5)
    uneven = track.replace(time_s=track.time_s + np.random.default_rng(0).uniform(-0.012, 0.012, 200))
    save_livelink(uneven, tmp_path / "clip.csv")
    found = read_motion(tmp_path / "clip.csv", None, lambda _: np.zeros((0, 52))).keys.time_s
    np.testing.assert_allclose(found, uneven.time_s - uneven.time_s[0], atol=1e-4)
