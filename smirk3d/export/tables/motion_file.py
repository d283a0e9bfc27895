"""Reading of facial motion from clips, photos, tables of ARKit weights and recordings of Live Link Face.

A table may also have the rotation of the head: in the columns `r00` to `r22`, the rotation matrix from head to camera
frame, or in the app's `HeadYaw`, `HeadPitch` and `HeadRoll`, see `smirk3d.export.tables.livelink`. The app writes zeros
if it does not record rotations, so zeros in all rows stand for no rotation.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import roma
import torch

from smirk3d.assets import printable
from smirk3d.bounded_io import read_npz
from smirk3d.errors import Smirk3dError, UsageError
from smirk3d.export.tables.expression_file import Expressions, read_expressions
from smirk3d.export.tables.timecode import check_timecodes, has_timecodes, times_of_timecodes
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.track import Status

DEFAULT_FPS = 30.0
"""Frame rate of files that state neither times nor time codes."""
TABLES: tuple[str, ...] = (".csv", ".parquet")
MAX_CELLS = 20_000_000
"""Largest table that is read: 90 minutes at 60 frames a second."""
_WEIGHTS = tuple(name.lower() for name in ARKIT_NAMES)
_MATRIX = tuple(f"r{row}{column}" for row in range(3) for column in range(3))
_ANGLES = ("headyaw", "headpitch", "headroll")
_TIMECODE_COLUMNS = ("timecode", "frame")
"""Columns with time codes: of the app, and of tables that were made from its recordings."""
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
        note: A remark about the times for the user; "" for none.
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
    """

    time_s: np.ndarray | None
    known: np.ndarray
    arkit: np.ndarray
    rotation_rotmat: np.ndarray | None = None
    timecodes: Sequence[str] = ()


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
        raise UsageError(f"--fps {fps:g}: {path} has its own time stamps; leave the flag out")
    if not frames.known.any():
        raise Smirk3dError(f"{printable(path)}: the face was lost in all frames; name another clip")
    time_s, note = _frame_times(path, frames, fps)
    times = time_s.astype(np.float32)  # as they will be written
    if not (np.isfinite(times).all() and times[0] >= 0 and (np.diff(times) > 0).all()):
        raise Smirk3dError(f"{printable(path)}: its times do not increase; name the .npz of one person of the clip")
    return MotionFile(_hold_last_values(frames, time_s), len(times), int((~frames.known).sum()), note)


def _frame_times(path: Path, frames: _SourceFrames, fps: float | None) -> tuple[np.ndarray, str]:
    """Return the time of each frame in seconds, and a remark about them."""
    if frames.time_s is not None:
        return frames.time_s, ""
    time_s = times_of_timecodes(frames.timecodes) if fps is None else None
    if time_s is not None:
        return time_s, ""
    check_timecodes(str(path), frames.timecodes, fps or DEFAULT_FPS)
    note = f"{path}: its time codes do not determine the frame rate; assuming {DEFAULT_FPS:g}, --fps changes it"
    even = np.arange(len(frames.known)) / (fps or DEFAULT_FPS)
    return even, note if fps is None and has_timecodes(frames.timecodes) else ""


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
    if path.suffix.lower() in TABLES:
        return _table_frames(path)
    arrays = _arrays(path)
    if {"time_s", "arkit"} <= arrays.keys():
        return _clip_frames(path, arrays)
    expressions = read_expressions(path)
    weights = expressions.arrays["arkit"] if "arkit" in expressions.arrays else to_arkit(expressions)
    rotmat = arrays.get("rotation", np.zeros(()))
    rotation = rotmat[None] if len(weights) == 1 and rotmat.shape == (3, 3) and _are_rotations(rotmat) else None
    return _SourceFrames(None, np.ones(len(weights), dtype=bool), weights, rotation, expressions.frames)


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


@dataclass(frozen=True, eq=False)
class _Table:
    """A table of N rows.

    Attributes:
        path: The file.
        cells: Name of each column in lower case -> N texts.
        known: (N,) bool, true for rows with weights; the face was lost in the others.
    """

    path: Path
    cells: Mapping[str, Sequence[str]]
    known: np.ndarray

    def has(self, *names: str) -> bool:
        return set(names) <= self.cells.keys()

    def numbers(self, *names: str) -> np.ndarray:
        """Return columns as (N, len(names)) float64; empty cells are NaN.

        Raises:
            Smirk3dError: A cell is not a number.
        """
        try:
            return np.array([[float(cell or "nan") for cell in self.cells[name]] for name in names]).T
        except ValueError as error:
            raise Smirk3dError(
                f"{printable(self.path)}: {_column_range(names)}: {printable(str(error))}; correct it, "
                "or leave the column out"
            ) from error


def _read_table(path: Path) -> _Table:
    cells = _csv_cells(path) if path.suffix.lower() == ".csv" else _parquet_cells(path)
    weights = [cells[name] for name in _WEIGHTS if name in cells]
    return _Table(path, cells, np.array([any(row) for row in zip(*weights)], dtype=bool))


def _column_range(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]}...{names[-1]}"


def _csv_cells(path: Path) -> Mapping[str, Sequence[str]]:
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        header = [column.strip().lower() for column in next(reader)]
        rows = [[cell.strip() for cell in row] for row in reader if row]
    return {name: [row[k] if k < len(row) else "" for row in rows] for k, name in enumerate(header)}


def _parquet_cells(path: Path) -> Mapping[str, Sequence[str]]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise Smirk3dError(".parquet needs pyarrow: pip install 'smirk3d[tables]', or name the .csv") from error
    wanted = {"track", "time_s", *_WEIGHTS, *_MATRIX}
    try:
        with open(path, "rb") as file:
            table = parquet.ParquetFile(file)
            columns = [name for name in table.schema_arrow.names if name.lower() in wanted]
            _check_parquet_size(table, columns)
            cells = table.read(columns=columns).to_pydict()
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise Smirk3dError(
            f"{printable(path)}: cannot be read as a table ({printable(' '.join(reason.split()))}); name the .parquet "
            "of a clip"
        ) from error
    return {name.lower(): ["" if cell is None else str(cell) for cell in cells[name]] for name in columns}


def _check_parquet_size(table: Any, columns: Sequence[str]) -> None:
    """Raise `ValueError` where columns that are needed are no numbers, or are too large; nothing is read."""
    from pyarrow import types

    for name in columns:
        kind = table.schema_arrow.field(name).type
        if not (types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_null(kind)):
            raise ValueError(f"the column {name} is of {kind}, not of numbers")
    if (count := table.metadata.num_rows * len(columns)) > MAX_CELLS:
        raise ValueError(f"it has {count} cells, the limit is {MAX_CELLS}")


def _table_frames(path: Path) -> _SourceFrames:
    if path.suffix.lower() == ".csv":
        weights = read_expressions(path).arrays["arkit"]  # first, for its error messages
        table = _read_table(path)
    else:
        table = _read_table(path)
        weights = _parquet_weights(table)
    if table.has("track") and len(people := {*table.cells["track"]}) > 1:
        raise Smirk3dError(f"{printable(path)}: holds {len(people)} people; name the .npz of one of them")
    arkit = np.zeros((len(table.known), len(ARKIT_NAMES)))
    arkit[table.known] = weights
    timecodes = next((table.cells[name] for name in _TIMECODE_COLUMNS if table.has(name)), ())
    return _SourceFrames(_table_times(table), table.known, arkit, _table_rotations(table), timecodes)


def _parquet_weights(table: _Table) -> np.ndarray:
    """Return the weights (K, 52) of the K rows with a face."""
    if not table.has(*_WEIGHTS):
        raise Smirk3dError(f"{printable(table.path)}: has not all of the 52 ARKit weights; name the .parquet of a clip")
    weights = table.numbers(*_WEIGHTS)[table.known]
    if not ((weights >= 0) & (weights <= 1)).all():  # true for NaN as well
        raise Smirk3dError(f"{printable(table.path)}: has ARKit weights that are not in [0, 1]; write it anew")
    return weights


def _table_times(table: _Table) -> np.ndarray | None:
    if not table.has("time_s"):
        return None
    time_s = table.numbers("time_s")[:, 0]
    if np.isnan(time_s).any():
        raise Smirk3dError(
            f"{printable(table.path)}: 'time_s' is not a number in all rows; correct it, or leave the column out"
        )
    return time_s


def _table_rotations(table: _Table) -> np.ndarray | None:
    """Return the rotations of the head (N, 3, 3), 0 in rows without weights; None if the table has none."""
    for columns, to_rotmat in ((_MATRIX, _from_entries), (_ANGLES, _from_livelink)):
        values = table.numbers(*columns)[table.known] if table.has(*columns) else np.zeros((0, 1))
        if np.isnan(values).all() or not values.any():
            continue
        known = to_rotmat(values)
        if not _are_rotations(known):
            raise Smirk3dError(
                f"{printable(table.path)}: {_column_range(columns)} are no rotation in some row with weights; "
                "correct them, or leave the columns out"
            )
        rotmat = np.zeros((len(table.known), 3, 3))
        rotmat[table.known] = known
        return rotmat
    return None


def _from_entries(entries: np.ndarray) -> np.ndarray:
    return entries.reshape(-1, 3, 3)


def _from_livelink(angles_rad: np.ndarray) -> np.ndarray:
    """Return rotations (K, 3, 3) `Rx(pitch) Ry(-yaw) Rz(roll)` of the app's yaw, pitch and roll (K, 3) in radians.

    Implausible angles become NaN.
    """
    angles = np.where(np.abs(angles_rad) <= _MAX_ANGLE_RAD, angles_rad, np.nan)
    pitch_yaw_roll = torch.from_numpy(angles[:, [1, 0, 2]] * (1, -1, 1))
    return roma.euler_to_rotmat("XYZ", pitch_yaw_roll).numpy()
