"""Files with the expressions of several frames: coefficients of a head or ARKit weights, also of other programs."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from smirk3d.assets import atomic_path, printable
from smirk3d.bounded_io import read_npz
from smirk3d.errors import Smirk3dError
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.track import Status

ARRAY_NAMES = {
    "expression": ("expression", "expressions", "expr", "exp", "expression_params"),
    "jaw": ("jaw", "jaw_pose", "jaw_params"),
    "eyelids": ("eyelids", "eyelid", "eyelid_params"),
    "eyes": ("eyes", "eyes_pose", "eye_pose"),
    "shape": ("shape", "betas", "shape_params"),
    "arkit": ("arkit", "arkit_weights"),
}
"""Names of arrays in files of this package (first) and of other programs."""
ARRAY_SIZES = {"jaw": 3, "eyelids": 2, "eyes": 6}
"""Numbers per frame of arrays whose size does not depend on the head."""
EXPRESSION_FORMATS: tuple[str, ...] = (".csv", ".npz")
NAME_COLUMNS = ("frame", "frames", "image", "key", "timecode")
"""Columns of a table that may name its rows; the first column does if there is none of them."""
_STRING_ARRAYS = ("head", "arkit_names", "frames", "keys", "names")
_ACCEPTED_RANGE = (-1.0, 2.0)
"""Calibrated recordings exceed [0, 1] a little; values outside this range are percentages, or no weights."""


@dataclass(frozen=True)
class Expressions:
    """Expressions of N frames.

    Attributes:
        frames: Names of the N frames.
        arrays: Name as in `FaceParams`, or "arkit" -> (N, K) float32.
        head: Name of the head model of the coefficients; "" if the file does not state it.
    """

    frames: tuple[str, ...]
    arrays: dict[str, np.ndarray] = field(repr=False)
    head: str = ""


def read_expressions(path: str | Path) -> Expressions:
    """Read a .npz of coefficients or features, or a .csv with columns named as the ARKit weights (any capitals).

    Arrays of a .npz are (K,) for one frame or (N, K); `ARRAY_NAMES` lists their names. Identity coefficients (K,) apply
    to all frames. ARKit weights are in Apple's order, or in that of the array `arkit_names`. Frames are named by the
    array `frames`, by a column of the table (`NAME_COLUMNS`), or else numbered. For the faces k > 0 of an image and the
    tracks k > 0 of a clip, `#k` is appended to the name. Rows without weights (failed images) and frames in which the
    face was lost are left out.

    Args:
        path: The file.

    Raises:
        Smirk3dError: The file cannot be read, or has no expressions.
    """
    path = Path(path)
    try:
        return _from_table(path) if path.suffix.lower() == ".csv" else _from_arrays(_read_npz(path))
    except (OSError, ValueError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise Smirk3dError(
            f"{printable(path)}: cannot be read as expressions ({printable(' '.join(reason.split()))}); give a .npz of "
            "coefficients or a .csv of ARKit weights"
        ) from error


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a .npz that have a known name."""
    wanted = {*sum(ARRAY_NAMES.values(), _STRING_ARRAYS), "features", "status"}
    with open(path, "rb") as file:
        start = file.read(6)
    if start == np.lib.format.MAGIC_PREFIX:
        raise ValueError("it is a single array without a name")
    if not start.startswith(b"PK"):
        raise ValueError("it is no .npz" if start else "it is empty")
    return read_npz(path, wanted)


def _from_arrays(file_arrays: Mapping[str, np.ndarray]) -> Expressions:
    stored = _without_lost_frames(file_arrays)
    arrays: dict[str, np.ndarray] = {}
    for name, aliases in ARRAY_NAMES.items():
        found = [alias for alias in aliases if alias in stored]
        if found:
            arrays[name] = _frames_array(found[0], stored[found[0]], ARRAY_SIZES.get(name))
    if "arkit" in arrays:
        arrays["arkit"] = _in_arkit_order(arrays["arkit"], _strings(stored, "arkit_names") or ARKIT_NAMES)
    elif "features" in stored:
        arrays["arkit"] = _in_arkit_order(_frames_array("features", stored["features"]), _strings(stored, "names"))
    if not {"expression", "arkit"} & set(arrays):
        raise ValueError("it has neither 'expression' nor 'arkit'")
    count = max(map(len, arrays.values()))
    for name, values in arrays.items():
        if len(values) not in (1, count):
            raise ValueError(f"{name!r} has {len(values)} frames, others have {count}")
    frames = _strings(stored, "frames") or _strings(stored, "keys") or tuple(map(str, range(count)))
    if len(frames) != count:
        raise ValueError(f"it names {len(frames)} frames and has {count}")
    per_frame = {name: np.broadcast_to(values, (count, values.shape[1])) for name, values in arrays.items()}
    return Expressions(frames, per_frame, next(iter(_strings(stored, "head")), ""))


def _without_lost_frames(stored: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """Return the arrays of a clip without the frames whose `status` is LOST."""
    status = stored.get("status")
    if status is None or status.ndim != 1 or status.dtype.kind not in "iu":
        return stored
    known, count = status != Status.LOST, len(status)
    per_frame = {name for name, values in stored.items() if len(np.atleast_1d(values)) == count and values.ndim == 2}
    return {name: values[known] if name in per_frame | {"frames"} else values for name, values in stored.items()}


def _frames_array(name: str, values: np.ndarray, size: int | None = None) -> np.ndarray:
    """Return an array as (N, K) float32."""
    if values.dtype.kind not in "fiub":
        raise ValueError(f"{name!r} is no array of numbers")
    with np.errstate(over="ignore"):  # infinity is refused below
        rows = np.atleast_2d(values.astype(np.float32))
    if rows.ndim != 2 or not rows.size or rows.shape[1] != (size or rows.shape[1]):
        raise ValueError(f"{name!r} has the shape {values.shape}, expected (frames, {size or 'any'})")
    if not np.isfinite(rows).all():
        raise ValueError(f"{name!r} has entries that are no finite numbers")
    return rows


def _strings(stored: Mapping[str, np.ndarray], name: str) -> tuple[str, ...]:
    """Return an array of strings; none if another program uses the name for something else."""
    values = stored.get(name)
    return () if values is None or values.dtype.kind != "U" else tuple(map(str, values.ravel()))


def _from_table(path: Path) -> Expressions:
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        header = [column.strip().lower() for column in next(reader, [])]
        rows = [(reader.line_num, row) for row in reader if row]
    if not header:
        raise ValueError("it is empty")
    columns = [(name, header.index(name.lower())) for name in ARKIT_NAMES if name.lower() in header]
    weights, frames = [], []
    for line, row in rows:
        cells = {name: row[column].strip() if column < len(row) else "" for name, column in columns}
        if any(cells.values()):
            weights.append([_number(text, name, line) for name, text in cells.items()])
            frames.append(_frame_name(header, row) or str(len(frames)))
    if columns and not weights:
        raise ValueError("it has no rows with weights")
    table = np.array(weights, dtype=np.float32).reshape(len(weights), len(columns))
    return Expressions(tuple(frames), {"arkit": _in_arkit_order(table, [name for name, _ in columns])})


def _number(text: str, column: str, line: int) -> float:
    try:
        if np.isfinite(number := float(text)):
            return number
    except ValueError:
        pass
    raise ValueError(f"line {line}: {column!r} is {text!r}, no number")


def _frame_name(header: Sequence[str], row: Sequence[str]) -> str:
    """Return the name of a row of a table, "" if it has none."""
    cells = dict(zip(header, row))
    known = [cells[name] for name in NAME_COLUMNS if name in cells]
    if known:
        face = cells.get("face", cells.get("track", "")).strip()
        return known[0] if face in ("", "0") else f"{known[0]}#{face}"
    # The first of MediaPipe's 52 scores is that of the neutral face.
    is_weight = header[0] in {"_neutral", *(name.lower() for name in ARKIT_NAMES)}
    return "" if is_weight else row[0]


def _in_arkit_order(weights: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Return the ARKit weights (N, 52) in Apple's order from columns (N, K) with names in any capitals."""
    position = {name.lower(): column for column, name in enumerate(names)}
    # Some detectors have 51 weights, without the tongue.
    missing = [name for name in ARKIT_NAMES if name.lower() not in position and name != "tongueOut"]
    if missing:
        raise ValueError(f"{len(missing)} of the 52 ARKit weights are missing, {missing[0]!r} first")
    if weights.shape[1] != len(names):
        raise ValueError(f"the ARKit weights have the shape {weights.shape}, for {len(names)} names")
    zeros = np.zeros(len(weights), dtype=np.float32)
    columns = [position.get(name.lower()) for name in ARKIT_NAMES]
    ordered = np.stack([zeros if column is None else weights[:, column] for column in columns], axis=1)
    low, high = ordered.min(), ordered.max()
    if not (_ACCEPTED_RANGE[0] <= low and high <= _ACCEPTED_RANGE[1]):  # false for NaN as well
        raise ValueError(f"the ARKit weights go from {low:g} to {high:g}, expected 0 to 1")
    return ordered.clip(0, 1)


def write_arkit(path: str | Path, frames: Sequence[str], arrays: dict[str, np.ndarray]) -> None:
    """Write ARKit weights as .csv (one row per frame) or .npz, whole or not at all.

    Args:
        path: Target, ending in one of `EXPRESSION_FORMATS`.
        frames: Names of the N frames.
        arrays: "arkit" (N, 52), and further columns (N,) of any name.

    Raises:
        Smirk3dError: The suffix is unknown, or writing failed.
    """
    path = Path(path)
    if path.suffix.lower() == ".npz":
        texts = {"frames": np.array(frames), "arkit_names": np.array(ARKIT_NAMES)}
        return write_arrays(path, arrays | texts)
    if path.suffix.lower() != ".csv":
        raise Smirk3dError(f"{printable(path)}: must end in one of {' '.join(EXPRESSION_FORMATS)}")
    extra = [name for name in arrays if name != "arkit"]
    table = np.concatenate([arrays["arkit"], *(arrays[name][:, None] for name in extra)], axis=1)
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["frame", *ARKIT_NAMES, *extra])
        writer.writerows([frame, *(f"{value:.5f}" for value in row)] for frame, row in zip(frames, table, strict=True))
    return None


def write_arrays(path: str | Path, arrays: dict[str, np.ndarray]) -> None:
    """Write named arrays as a .npz that loads with `allow_pickle=False`, whole or not at all.

    Args:
        path: Target, ending in .npz.
        arrays: Name -> array of numbers or strings.

    Raises:
        Smirk3dError: Writing failed.
    """
    named: dict[str, Any] = {**arrays}  # older versions of numpy store allow_pickle=False as an array
    with atomic_path(Path(path)) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **named)
