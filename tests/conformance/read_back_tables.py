"""Read tables and arrays of a clip with pandas and NumPy, for `read_back.py`, and compare them with each other."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pandas as pd
from read_back_expect import expect

from smirk3d.export.tables.track_table import table_columns
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.track import Status, Track

# The header of recordings of the app, as in their newer versions.
LIVELINK_HEADER = (
    "Timecode,BlendShapeCount,EyeBlinkLeft,EyeLookDownLeft,EyeLookInLeft,EyeLookOutLeft,EyeLookUpLeft,EyeSquintLeft,"
    "EyeWideLeft,EyeBlinkRight,EyeLookDownRight,EyeLookInRight,EyeLookOutRight,EyeLookUpRight,EyeSquintRight,"
    "EyeWideRight,JawForward,JawRight,JawLeft,JawOpen,MouthClose,MouthFunnel,MouthPucker,MouthRight,MouthLeft,"
    "MouthSmileLeft,MouthSmileRight,MouthFrownLeft,MouthFrownRight,MouthDimpleLeft,MouthDimpleRight,MouthStretchLeft,"
    "MouthStretchRight,MouthRollLower,MouthRollUpper,MouthShrugLower,MouthShrugUpper,MouthPressLeft,MouthPressRight,"
    "MouthLowerDownLeft,MouthLowerDownRight,MouthUpperUpLeft,MouthUpperUpRight,BrowDownLeft,BrowDownRight,BrowInnerUp,"
    "BrowOuterUpLeft,BrowOuterUpRight,CheekPuff,CheekSquintLeft,CheekSquintRight,NoseSneerLeft,NoseSneerRight,"
    "TongueOut,HeadYaw,HeadPitch,HeadRoll,LeftEyeYaw,LeftEyePitch,LeftEyeRoll,RightEyeYaw,RightEyePitch,RightEyeRoll"
)
MATRIX = [f"r{row}{column}" for row in range(3) for column in range(3)]


def arrays_read(path: Path) -> str:
    """Load all arrays without pickles."""
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    count = len(arrays["frame"])
    expect(arrays["arkit"].shape == (count, 52), f"arkit has the shape {arrays['arkit'].shape}")
    expect(arrays["arkit_names"].tolist() == list(ARKIT_NAMES), "weights have other names")
    known = arrays["status"] != Status.LOST
    for name in ("arkit", "expression", "rotation_rotmat", "translation_m", "eyes", "jaw", "confidence", "box_px"):
        expect(
            np.isfinite(arrays[name][known]).all() and np.isnan(arrays[name][~known]).all(), f"{name} in lost frames"
        )
    return f"NumPy {np.__version__}: {len(arrays)} arrays, {count} frames, {(~known).sum()} lost, no pickle"


def table_read(path: Path, tracks: list[Track]) -> str:
    """Compare the table of all tracks with the tracks."""
    table = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    expect(tuple(table.columns) == table_columns(tracks), "other columns")
    expect(len(table) == sum(map(len, tracks)), f"{len(table)} rows")
    for track in tracks:
        rows = table[table["track"] == track.number]
        expect(np.array_equal(rows["frame"], track.frame), "other frames")
        expect(np.allclose(rows["time_s"], track.time_s, atol=1e-6), "other times")
        expect(rows["status"].tolist() == [Status(value).name.lower() for value in track.status], "another status")
        for columns, values in ((list(ARKIT_NAMES), track.arkit), (MATRIX, track.rotation_rotmat.reshape(-1, 9))):
            expect(
                np.allclose(rows[columns].astype(float), values, atol=1e-6, equal_nan=True),
                f"other {columns[0]}...{columns[-1]}",
            )
    reader = "" if path.suffix == ".csv" else f" and pyarrow {__import__('pyarrow').__version__}"
    return f"pandas {pd.__version__}{reader}: {len(table)} rows, {len(table.columns)} columns, {len(tracks)} tracks"


def livelink_read(path: Path, track: Track) -> str:
    """Read a table of the app with pandas, and by the rules of public importers."""
    table = pd.read_csv(path)
    expect(",".join(table.columns) == LIVELINK_HEADER and len(table.columns) - 2 == 61, "another header")
    known = (table["BlendShapeCount"] == 61).to_numpy()
    expect(np.array_equal(known, track.known) and (table["BlendShapeCount"][~known] == 0).all(), "other counts")
    numbers = table.iloc[:, 2:]
    expect(numbers.notna().to_numpy().all(), "empty cells")
    for column, name in enumerate(ARKIT_NAMES):
        values = table[name[0].upper() + name[1:]]
        expect(np.allclose(values[known], track.arkit[known, column], atol=1e-9), f"other {name}")
    _by_place(path, track)
    _by_cut_time_codes(table["Timecode"].tolist(), track)
    return f"pandas {pd.__version__}: exact header, 61 data columns, {len(table)} rows; rules of 2 importers: the same"


def _by_place(path: Path, track: Track) -> None:
    """Read as an add-on for Blender does (Faceit, Epic's format).

    Rows with a count of 0 are left out; weights are columns 2 to 53, the head's yaw, pitch and roll 54 to 56, the
    eyes' 57 to 62, all radians; of the four parts of a time code the last one, with its fraction, counts frames.
    """
    with open(path, newline="") as file:
        header, *lines = csv.reader(file)
    rows = [row for row in lines if row and float(row[1])]
    expect({len(row) for row in rows} == {63}, "other numbers of cells")
    numbers = np.array([[float(cell) for cell in row[2:]] for row in rows])
    expect(np.abs(numbers[:, 52:]).max() < np.pi, "no radians")
    places = [header[2:54].index(name[0].upper() + name[1:]) for name in ARKIT_NAMES]
    expect(np.allclose(numbers[:, places], track.arkit[track.known], atol=1e-9), "weights in other places")
    parts = np.array([[float(part) for part in row[0].split(":")] for row in rows])
    time_s = parts @ (3600, 60, 1, 1 / (60 if parts[:, 3].max() > 30 else 30))
    expect(
        np.allclose(time_s - time_s[0], (track.time_s - track.time_s[track.known][0])[track.known], atol=1e-3),
        "other times",
    )


def _by_cut_time_codes(codes: list[str], track: Track) -> None:
    """Read time codes as a script for MotionBuilder does: without the last four characters, four whole numbers."""
    for code in codes:
        expect(re.fullmatch(r"\d\d:\d\d:\d\d:\d\d\.\d\d\d", code), f"time code {code}")
        expect(int(code[:-4].split(":")[3]) < (30 if track.rate_fps <= 30.5 else 60), f"time code {code}")
    expect(codes == sorted(codes), "time codes fall")
