"""Files with the expressions of several frames: coefficients of a head or ARKit weights, also of other programs."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from smirk3d.assets import atomic_path, printable
from smirk3d.bounded_io import open_plain, read_npz
from smirk3d.errors import Smirk3dError
from smirk3d.export.tables.coefficient_layouts import ARRAY_NAMES, EYE_NAMES, POSE_NAMES, RATE_NAMES, read_layout
from smirk3d.export.tables.expressions import Expressions
from smirk3d.export.tables.face_cap import read_face_cap
from smirk3d.export.tables.json_weights import read_json
from smirk3d.export.tables.tracker_frames import is_tracker_file, read_tracker_frames
from smirk3d.export.tables.weight_columns import arkit_weights, match_columns, missing_note, unused_note
from smirk3d.export.tables.weight_table import read_weight_table
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.track import Status

ARRAY_SIZES = {"jaw": 3, "eyelids": 2, "eyes": 6}
"""Numbers per frame of arrays whose size does not depend on the head."""
EXPRESSION_FORMATS: tuple[str, ...] = (".csv", ".npz")
"""Formats of `write_arkit`."""
TABLE_SUFFIXES: tuple[str, ...] = (".csv", ".tsv", ".parquet")
_STRING_ARRAYS = ("head", "arkit_names", "frames", "keys", "names", "timestep_id")
_OWN_ARRAYS = ("arkit_names", "features")
"""Arrays by which files of this package are known; what else they hold is not for expressions."""


def read_expressions(path: str | Path) -> Expressions:
    """Read coefficients or ARKit weights from any of these files.

    - .npz of coefficients or features. Arrays are (K,) for one frame or (N, K); `ARRAY_NAMES` lists their names, and
      `smirk3d.export.tables.coefficient_layouts` what else is recognised. ARKit weights are in Apple's order, or in
      that of the array `arkit_names`.
    - .csv, .tsv or .parquet with columns named as ARKit weights, see `smirk3d.export.tables.weight_table`.
    - .json of weights or of a face, see `smirk3d.export.tables.json_weights`; .txt of the app Face Cap.
    - .frame of metrical-tracker, or a folder of them.

    Identity coefficients (K,) apply to all frames. Frames are named by the array `frames`, by a column of the table, or
    else numbered. For the faces k > 0 of an image and the tracks k > 0 of a clip, `#k` is appended to the name. Rows
    without weights (failed images) and frames in which the face was lost are left out.

    Args:
        path: The file.

    Raises:
        Smirk3dError: The file cannot be read, or has no expressions.
    """
    path = Path(path)
    try:
        return _read(path)
    except (OSError, ValueError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise Smirk3dError(
            f"{printable(path)}: cannot be read as expressions ({printable(' '.join(reason.split()))}); give a .npz of "
            "coefficients or a .csv or .json of ARKit weights"
        ) from error


def _read(path: Path) -> Expressions:
    suffix = path.suffix.lower()
    if suffix in TABLE_SUFFIXES:
        return read_weight_table(path).expressions()
    if suffix == ".json":
        content = read_json(path)
        return content if isinstance(content, Expressions) else _from_arrays(content)
    if suffix == ".txt":
        return read_face_cap(path)
    if is_tracker_file(path):
        return _from_arrays(read_tracker_frames(path))
    return _from_arrays(*_read_npz(path))


def _read_npz(path: Path) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Return the arrays of a .npz that have a known name, and the other names."""
    wanted = {*sum(ARRAY_NAMES.values(), _STRING_ARRAYS), *POSE_NAMES, *RATE_NAMES, "features", "status"}
    wanted |= {name for pair in EYE_NAMES for name in pair}
    with open_plain(path) as file:
        start = file.read(6)
    if start == np.lib.format.MAGIC_PREFIX:
        raise ValueError("it is a single array without a name")
    if not start.startswith(b"PK"):
        raise ValueError("it is no .npz" if start else "it is empty")
    arrays = read_npz(path, wanted)
    with zipfile.ZipFile(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
    return arrays, tuple(name for name in names if name not in wanted)


def _from_arrays(file_arrays: Mapping[str, np.ndarray], others: tuple[str, ...] = ()) -> Expressions:
    """Return the expressions in the arrays of a file.

    Args:
        file_arrays: Arrays by their names in the file.
        others: Names of arrays that were not read.
    """
    stored = _without_lost_frames(file_arrays)
    layout, unused = read_layout({name: values for name, values in stored.items() if name not in _CONTEXT_ARRAYS})
    arrays = {name: _frames_array(alias, values, ARRAY_SIZES.get(name)) for name, (alias, values) in layout.items()}
    notes: tuple[str, ...] = ()
    if "arkit" in arrays:
        arrays["arkit"], notes = _in_arkit_order(arrays["arkit"], _strings(stored, "arkit_names") or ARKIT_NAMES)
    elif "features" in stored:
        features = _frames_array("features", stored["features"])
        arrays["arkit"], notes = _in_arkit_order(features, _strings(stored, "names"))
    if not {"expression", "arkit"} & set(arrays):
        raise ValueError("it has neither 'expression' nor 'arkit'")
    count = max(map(len, arrays.values()))
    for name, values in arrays.items():
        if len(values) not in (1, count):
            raise ValueError(f"{name!r} has {len(values)} frames, others have {count}")
    frames = _frame_names(stored, count)
    if len(frames) != count:
        raise ValueError(f"it names {len(frames)} frames and has {count}")
    per_frame = {name: np.broadcast_to(values, (count, values.shape[1])) for name, values in arrays.items()}
    head, rate_fps = next(iter(_strings(stored, "head")), ""), _frame_rate(stored)
    if not set(_OWN_ARRAYS) & file_arrays.keys():
        notes += unused_note([*unused, *others])
    return Expressions(frames, per_frame, head, rate_fps=rate_fps, notes=notes)


_CONTEXT_ARRAYS = (*_STRING_ARRAYS, *RATE_NAMES, "features", "status")
"""Arrays that are no coefficients."""


def _frame_names(stored: Mapping[str, np.ndarray], count: int) -> tuple[str, ...]:
    own = _strings(stored, "frames") or _strings(stored, "keys")
    steps = _strings(stored, "timestep_id")
    return own or (steps if len(steps) == count else tuple(map(str, range(count))))


def _frame_rate(stored: Mapping[str, np.ndarray]) -> float | None:
    """Return the frame rate that a file states, None for none or an implausible one."""
    given = [stored[name] for name in RATE_NAMES if name in stored]
    values = [float(np.asarray(value).item()) for value in given if value.size == 1 and value.dtype.kind in "fiu"]
    return next((value for value in values if 0 < value < 1e6), None)


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


def _in_arkit_order(weights: np.ndarray, names: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the ARKit weights (N, 52) in Apple's order from named columns (N, K), and a note about missing ones."""
    columns = match_columns(names)
    if not columns:
        raise ValueError(f"the names of its weights are not those of the {len(ARKIT_NAMES)} ARKit weights")
    if weights.shape[1] != len(names):
        raise ValueError(f"the ARKit weights have the shape {weights.shape}, for {len(names)} names")
    return arkit_weights(weights, columns), missing_note(columns)


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
