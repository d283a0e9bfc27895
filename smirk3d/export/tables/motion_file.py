"""Reading of facial motion from clips, photos, tables of ARKit weights and recordings of Live Link Face.

A table may also have the rotation of the head: in the columns `r00` to `r22`, the rotation matrix from head to camera
frame, else in `yaw`, `pitch` and `roll`, degrees, see `smirk3d.geometry.euler`, or in the app's `HeadYaw`, `HeadPitch`
and `HeadRoll`, see `smirk3d.export.tables.livelink`. The app writes zeros if it does not record rotations, so zeros in
all rows stand for no rotation.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import roma
import torch

from smirk3d.assets import printable
from smirk3d.bounded_io import read_npz
from smirk3d.errors import Smirk3dError, UsageError
from smirk3d.export.tables.expression_file import TABLE_SUFFIXES, read_expressions
from smirk3d.export.tables.expressions import Expressions
from smirk3d.export.tables.timecode import (
    assumed_rate,
    check_timecodes,
    has_timecodes,
    times_at_rate,
    times_of_timecodes,
)
from smirk3d.export.tables.weight_columns import missing_note
from smirk3d.export.tables.weight_table import WeightTable, read_weight_table
from smirk3d.geometry.euler import rotation_from_angles
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.track import Status

DEFAULT_FPS = 30.0
"""Frame rate of files that state neither times nor a rate nor time codes."""
_MATRIX = tuple(f"r{row}{column}" for row in range(3) for column in range(3))
_ANGLES_DEG = ("yaw", "pitch", "roll")
_APP_ANGLES_RAD = ("headyaw", "headpitch", "headroll")
_MAX_ANGLE_RAD = 2 * np.pi
"""Larger angles are taken for degrees, and refused."""


@dataclass(frozen=True, eq=False)
class KeyframeMotion:
    """Key frames of a facial motion, to be interpolated linearly.

    Attributes:
        time_s: (T,) float64, increasing.
        arkit: (T, 52) ARKit weights in [0, 1] in Apple's order.
        rotation_rotmat: (T, 3, 3) float64, head frame to camera frame; None if the head's rotation is not known.
    """

    time_s: np.ndarray
    arkit: np.ndarray
    rotation_rotmat: np.ndarray | None = None


@dataclass(frozen=True)
class MotionFile:
    """The result of `read_motion`.

    Attributes:
        keys: The motion.
        n_frames: Number of frames in the file.
        n_lost: Number of frames in which the face was lost.
        note: Remarks for the user, about the times and what is not used; "" for none.
    """

    keys: KeyframeMotion = field(repr=False)
    n_frames: int
    n_lost: int
    note: str = ""


@dataclass(frozen=True, eq=False)
class _SourceFrames:
    """T frames as they are in a file; the values of lost frames have no meaning.

    Attributes:
        time_s: (T,) float64 seconds, or None if the file has no times.
        known: (T,) bool, False where the face was lost.
        arkit: (T, 52) ARKit weights.
        rotation_rotmat: (T, 3, 3) head frame to camera frame, or None.
        timecodes: Names of the T frames, which may be time codes.
        rate_fps: Frame rate that the file states, or None.
        notes: Remarks for the user.
    """

    time_s: np.ndarray | None
    known: np.ndarray
    arkit: np.ndarray
    rotation_rotmat: np.ndarray | None = None
    timecodes: Sequence[str] = ()
    rate_fps: float | None = None
    notes: tuple[str, ...] = ()


def read_motion(path: str | Path, fps: float | None, to_arkit: Callable[[Expressions], np.ndarray]) -> MotionFile:
    """Read the motion for the animation of a character.

    Each frame with a face becomes a key, and so does the last frame of each gap, with the values before the gap: linear
    interpolation then keeps these values during the gap.

    Args:
        path: A .npz of a clip or a photo, any file that `read_expressions` reads, or the .parquet of a clip.
        fps: Frame rate of a file without time stamps. None determines it from time codes, and else takes
            `DEFAULT_FPS`.
        to_arkit: Converts coefficients of a head to ARKit weights (T, 52).

    Raises:
        Smirk3dError: The file cannot be read, has no expressions, or more than one person.
        UsageError: `fps` is given for a file with time stamps, or contradicts its time codes.
    """
    path = Path(path)
    frames = _read_frames(path, to_arkit)
    if fps is not None and frames.time_s is not None:
        raise UsageError(f"--fps {fps:g}: {printable(path)} has its own time stamps; leave the flag out")
    if not frames.known.any():
        raise Smirk3dError(f"{printable(path)}: the face was lost in all frames; name another clip")
    time_s, note = _frame_times(path, frames, fps)
    times = time_s.astype(np.float32)  # as they will be written
    if not (np.isfinite(times).all() and times[0] >= 0 and (np.diff(times) > 0).all()):
        raise Smirk3dError(f"{printable(path)}: its times do not increase; name the .npz of one person of the clip")
    remarks = "; ".join(filter(None, (note, *frames.notes)))
    note = f"{printable(path)}: {remarks}" if remarks else ""
    return MotionFile(_hold_last_values(frames, time_s), len(times), int((~frames.known).sum()), note)


def _frame_times(path: Path, frames: _SourceFrames, fps: float | None) -> tuple[np.ndarray, str]:
    """Return the time of each frame in seconds, and a remark about them."""
    if frames.time_s is not None:
        return frames.time_s, ""
    count = len(frames.known)
    if fps is None and frames.rate_fps is not None:
        return np.arange(count) / frames.rate_fps, ""
    if fps is not None:
        check_timecodes(str(path), frames.timecodes, fps)
        return np.arange(count) / fps, ""
    if not has_timecodes(frames.timecodes):
        return np.arange(count) / DEFAULT_FPS, ""
    time_s = times_of_timecodes(frames.timecodes)
    if time_s is not None:
        return time_s, ""
    rate_fps = assumed_rate(frames.timecodes)
    check_timecodes(str(path), frames.timecodes, rate_fps)
    time_s = times_at_rate(frames.timecodes, rate_fps)
    note = f"its time codes do not determine the frame rate; assuming {rate_fps:g}, --fps changes it"
    return np.arange(count) / rate_fps if time_s is None else time_s, note


def _hold_last_values(frames: _SourceFrames, time_s: np.ndarray) -> KeyframeMotion:
    index = np.arange(len(frames.known))
    last_known = np.maximum.accumulate(np.where(frames.known, index, -1))
    # A lost frame before one with a face, or at the end, closes a gap.
    ends = np.append(frames.known[1:], True)
    keys = np.flatnonzero((frames.known | ends) & (last_known >= 0))
    source = last_known[keys]
    rotation = None if frames.rotation_rotmat is None else frames.rotation_rotmat[source].astype(np.float64)
    return KeyframeMotion(time_s[keys], frames.arkit[source].clip(0, 1), rotation)


def _read_frames(path: Path, to_arkit: Callable[[Expressions], np.ndarray]) -> _SourceFrames:
    if path.suffix.lower() in TABLE_SUFFIXES:
        return _table_frames(path)
    arrays = _arrays(path)
    if {"time_s", "arkit"} <= arrays.keys():
        return _clip_frames(path, arrays)
    expressions = read_expressions(path)
    weights = expressions.arrays["arkit"] if "arkit" in expressions.arrays else to_arkit(expressions)
    rotmat = arrays.get("rotation", np.zeros(()))
    rotation = rotmat[None] if len(weights) == 1 and rotmat.shape == (3, 3) and _are_rotations(rotmat) else None
    return _SourceFrames(
        expressions.time_s,
        np.ones(len(weights), dtype=bool),
        weights,
        rotation,
        expressions.frames,
        expressions.rate_fps,
        expressions.notes,
    )


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a clip or a photo that are used here; none if the archive cannot be read."""
    wanted = ("time_s", "status", "arkit", "arkit_names", "rotation_rotmat", "rotation")
    try:
        return read_npz(path, wanted)
    except Exception:  # `read_expressions` raises an error that names the reason
        return {}


def _clip_frames(path: Path, arrays: dict[str, np.ndarray]) -> _SourceFrames:
    arkit, time_s, count = arrays["arkit"], arrays["time_s"], len(np.atleast_1d(arrays["time_s"]))
    names = [str(name) for name in arrays.get("arkit_names", np.array(ARKIT_NAMES)).ravel()]
    status = arrays.get("status", np.zeros(count, dtype=np.uint8))
    rotation = arrays.get("rotation_rotmat")
    shapes = (time_s.shape, status.shape, arkit.shape, (count, 3, 3) if rotation is None else rotation.shape)
    if shapes != ((count,), (count,), (count, 52), (count, 3, 3)) or {*names} != {*ARKIT_NAMES} or not count:
        raise Smirk3dError(f"{printable(path)}: is no clip of 52 ARKit weights; name the .npz that `video` wrote")
    known = status != Status.LOST
    if not np.isfinite(arkit[known]).all() or (rotation is not None and not _are_rotations(rotation[known])):
        raise Smirk3dError(
            f"{printable(path)}: has weights that are no numbers, or rotations that are none; write it anew"
        )
    return _SourceFrames(
        time_s.astype(np.float64), known, arkit[:, [names.index(name) for name in ARKIT_NAMES]], rotation
    )


def _are_rotations(rotmat: np.ndarray) -> bool:
    if not np.isfinite(rotmat).all():
        return False
    product = rotmat.astype(np.float64) @ np.swapaxes(rotmat, -1, -2)
    return bool(np.allclose(product, np.eye(3), atol=1e-3) and (np.linalg.det(rotmat) > 0).all())


def _column_range(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]}...{names[-1]}"


def _table_frames(path: Path) -> _SourceFrames:
    with _errors_naming(path, _NO_TABLE):
        table = read_weight_table(path)
        if table.weight_columns and len(table.known) and not table.known.any():
            raise Smirk3dError(f"{printable(path)}: the face was lost in all frames; name another clip")
        weights = table.weights()
    with _errors_naming(path, "{}"):
        time_s, rotation = table.times(), _table_rotations(table)
    if table.has("track") and len(people := {*table.cells["track"]}) > 1:
        raise Smirk3dError(f"{printable(path)}: holds {len(people)} people; name the .npz of one of them")
    arkit = np.zeros((len(table.known), len(ARKIT_NAMES)))
    arkit[table.known] = weights
    notes = missing_note(table.weight_columns)
    return _SourceFrames(time_s, table.known, arkit, rotation, table.timecodes(), notes=notes)


_NO_TABLE = "cannot be read as a table ({}); give a .csv or .parquet with a column for each ARKit weight"


@contextmanager
def _errors_naming(path: Path, text: str) -> Iterator[None]:
    """Turn errors of a table into one that names the file; `text` has a place for the reason."""
    try:
        yield
    except (OSError, ValueError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        reason = printable(" ".join(reason.split()))
        raise Smirk3dError(f"{printable(path)}: {text.format(reason)}") from error


def _table_rotations(table: WeightTable) -> np.ndarray | None:
    """Return the rotations of the head (N, 3, 3), 0 in rows without weights; None if the table has none."""
    forms = ((_MATRIX, _from_entries), (_ANGLES_DEG, _from_angles), (_APP_ANGLES_RAD, _from_livelink))
    for columns, to_rotmat in forms:
        try:
            values = table.numbers(*columns)[table.known] if table.has(*columns) else np.zeros((0, 1))
        except ValueError as error:
            raise ValueError(f"{_column_range(columns)}: {error}; correct it, or leave the column out") from error
        if np.isnan(values).all() or not values.any():
            continue
        known = to_rotmat(values)
        if not _are_rotations(known):
            raise ValueError(
                f"{_column_range(columns)} are no rotation in some row with weights; correct them, or leave the "
                "columns out"
            )
        rotmat = np.zeros((len(table.known), 3, 3))
        rotmat[table.known] = known
        return rotmat
    return None


def _from_entries(entries: np.ndarray) -> np.ndarray:
    return entries.reshape(-1, 3, 3)


def _from_angles(angles_deg: np.ndarray) -> np.ndarray:
    """Return rotations (K, 3, 3) of yaw, pitch and roll (K, 3) in degrees."""
    return np.stack([rotation_from_angles(*row) for row in angles_deg.tolist()])


def _from_livelink(angles_rad: np.ndarray) -> np.ndarray:
    """Return rotations (K, 3, 3) `Rx(pitch) Ry(-yaw) Rz(roll)` of the app's yaw, pitch and roll (K, 3) in radians.

    Implausible angles become NaN.
    """
    angles = np.where(np.abs(angles_rad) <= _MAX_ANGLE_RAD, angles_rad, np.nan)
    pitch_yaw_roll = torch.from_numpy(angles[:, [1, 0, 2]] * (1, -1, 1))
    return roma.euler_to_rotmat("XYZ", pitch_yaw_roll).numpy()
