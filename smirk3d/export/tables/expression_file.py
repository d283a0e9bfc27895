"""Files of expressions over frames: coefficients of a head, or ARKit weights; read from other programs' files too."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from smirk3d.assets import atomic_path, printable
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
"""Names that arrays have in our files (first) and in those of other programs."""
ARRAY_SIZES = {"jaw": 3, "eyelids": 2, "eyes": 6}
EXPRESSION_FORMATS: tuple[str, ...] = (".csv", ".npz")
NAME_COLUMNS = ("frame", "frames", "image", "key", "timecode")
"""Columns of a table that name its rows; where there is none of them, the first column does."""
_STRING_ARRAYS = ("head", "arkit_names", "frames", "keys", "names")
_ACCEPTED_RANGE = (-1.0, 2.0)
"""Calibrated recordings leave [0, 1] a little; what leaves this is in percent, or no weight."""


@dataclass(frozen=True)
class Expressions:
    """Expressions of N frames.

    Attributes:
        frames: N names.
        arrays: name as in `FaceParams`, or "arkit" -> (N, K) float32.
        head: name of the head model that the coefficients belong to; "" where the file does not say.
    """

    frames: tuple[str, ...]
    arrays: dict[str, np.ndarray] = field(repr=False)
    head: str = ""


def read_expressions(path: str | Path) -> Expressions:
    """Read a .npz of coefficients or features, or a .csv with columns named as the ARKit weights (any capitals).

    Arrays of a .npz are (K,) for one frame or (N, K); `ARRAY_NAMES` lists their names. A shape (K,) stands for all
    frames. ARKit weights are in Apple's order unless `arkit_names` says otherwise. Frames are named by `frames`, or
    by the column of a table, else numbered; of several faces in one image, k > 0 gets `#k` after the image's name, and
    so do the frames of tracks k > 0 of a clip. Rows without weights are those of failed images, and left out, and so
    are the frames of a clip in which the face was lost.

    Raises:
        Smirk3dError: The file cannot be read, or holds nothing of use.
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
    """Return the arrays of a .npz that have a name of use."""
    wanted = {*sum(ARRAY_NAMES.values(), _STRING_ARRAYS), "features", "status"}
    with open(path, "rb") as file:
        start = file.read(6)
    if start == np.lib.format.MAGIC_PREFIX:
        raise ValueError("it is a single array without a name")
    if not start.startswith(b"PK"):
        raise ValueError("it is no .npz" if start else "it is empty")
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files if name in wanted}
    except Exception as error:  # numpy, zipfile and zlib raise many things about damaged archives
        raise ValueError(str(error) or type(error).__name__) from error


def _from_arrays(given: Mapping[str, np.ndarray]) -> Expressions:
    given = _without_lost_frames(given)
    arrays: dict[str, np.ndarray] = {}
    for name, spellings in ARRAY_NAMES.items():
        found = [spelling for spelling in spellings if spelling in given]
        if found:
            arrays[name] = _frames_array(found[0], given[found[0]], ARRAY_SIZES.get(name))
    if "arkit" in arrays:
        arrays["arkit"] = _in_arkit_order(arrays["arkit"], _strings(given, "arkit_names") or ARKIT_NAMES)
    elif "features" in given:
        arrays["arkit"] = _in_arkit_order(_frames_array("features", given["features"]), _strings(given, "names"))
    if not {"expression", "arkit"} & set(arrays):
        raise ValueError("it has neither 'expression' nor 'arkit'")
    count = max(map(len, arrays.values()))
    for name, values in arrays.items():
        if len(values) not in (1, count):
            raise ValueError(f"{name!r} has {len(values)} frames, others have {count}")
    frames = _strings(given, "frames") or _strings(given, "keys") or tuple(map(str, range(count)))
    if len(frames) != count:
        raise ValueError(f"it names {len(frames)} frames and has {count}")
    spread = {name: np.broadcast_to(values, (count, values.shape[1])) for name, values in arrays.items()}
    return Expressions(frames, spread, next(iter(_strings(given, "head")), ""))


def _without_lost_frames(given: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """Return the arrays of a clip without the frames in which its `status` says that the face was lost."""
    status = given.get("status")
    if status is None or status.ndim != 1 or status.dtype.kind not in "iu":
        return given
    known, count = status != Status.LOST, len(status)
    per_frame = {name for name, values in given.items() if len(np.atleast_1d(values)) == count and values.ndim == 2}
    return {name: values[known] if name in per_frame | {"frames"} else values for name, values in given.items()}


def _frames_array(name: str, values: np.ndarray, size: int | None = None) -> np.ndarray:
    """Return an array as (N, K) float32."""
    if values.dtype.kind not in "fiub":
        raise ValueError(f"{name!r} is no array of numbers")
    with np.errstate(over="ignore"):  # refused below
        rows = np.atleast_2d(values.astype(np.float32))
    if rows.ndim != 2 or not rows.size or rows.shape[1] != (size or rows.shape[1]):
        raise ValueError(f"{name!r} has the shape {values.shape}, expected (frames, {size or 'any'})")
    if not np.isfinite(rows).all():
        raise ValueError(f"{name!r} has entries that are no finite numbers")
    return rows


def _strings(given: Mapping[str, np.ndarray], name: str) -> tuple[str, ...]:
    """Return the texts under a name; none where it means something else to another program."""
    values = given.get(name)
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
    """Return the name of a row of a table, "" where it has none."""
    cells = dict(zip(header, row))
    known = [cells[name] for name in NAME_COLUMNS if name in cells]
    if known:
        face = cells.get("face", cells.get("track", "")).strip()
        return known[0] if face in ("", "0") else f"{known[0]}#{face}"
    # MediaPipe's scores start with the one for a neutral face.
    is_weight = header[0] in {"_neutral", *(name.lower() for name in ARKIT_NAMES)}
    return "" if is_weight else row[0]


def _in_arkit_order(weights: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Return weights (N, K) with columns `names` (any capitals, others among them) as (N, 52) in Apple's order."""
    position = {name.lower(): column for column, name in enumerate(names)}
    # Detectors that do not know the tongue give 51 weights.
    missing = [name for name in ARKIT_NAMES if name.lower() not in position and name != "tongueOut"]
    if missing:
        raise ValueError(f"{len(missing)} of the 52 ARKit weights are missing, {missing[0]!r} first")
    if weights.shape[1] != len(names):
        raise ValueError(f"the ARKit weights have the shape {weights.shape}, for {len(names)} names")
    still = np.zeros(len(weights), dtype=np.float32)
    columns = [position.get(name.lower()) for name in ARKIT_NAMES]
    ordered = np.stack([still if column is None else weights[:, column] for column in columns], axis=1)
    low, high = ordered.min(), ordered.max()
    if not (_ACCEPTED_RANGE[0] <= low and high <= _ACCEPTED_RANGE[1]):  # also where one is not a number
        raise ValueError(f"the ARKit weights go from {low:g} to {high:g}, expected 0 to 1")
    return ordered.clip(0, 1)


def write_arkit(path: str | Path, frames: Sequence[str], arrays: dict[str, np.ndarray]) -> None:
    """Write ARKit weights as .csv (one row a frame) or .npz, whole or not at all.

    Args:
        path: Target, ending in one of `EXPRESSION_FORMATS`.
        frames: N names.
        arrays: "arkit" (N, 52), and (N,) columns of any name.

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

    Raises:
        Smirk3dError: Writing failed.
    """
    named: dict[str, Any] = {**arrays}  # older numpy takes allow_pickle=False for one more array
    with atomic_path(Path(path)) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **named)
