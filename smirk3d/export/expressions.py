"""Files of expressions over frames: coefficients of a head, or ARKit weights; read from other programs' files too."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from smirk3d.assets import atomic_path, printable
from smirk3d.errors import Smirk3dError
from smirk3d.head.arkit import ARKIT_NAMES

SPELLINGS = {
    "expression": ("expression", "expressions", "expr", "exp", "expression_params"),
    "jaw": ("jaw", "jaw_pose", "jaw_params"),
    "eyelids": ("eyelids", "eyelid", "eyelid_params"),
    "eyes": ("eyes", "eyes_pose", "eye_pose"),
    "shape": ("shape", "betas", "shape_params"),
    "arkit": ("arkit", "arkit_weights", "blendshapes"),
}
"""Names that arrays have in our files (first) and in those of other programs."""
SIZES = {"jaw": 3, "eyelids": 2, "eyes": 6, "arkit": len(ARKIT_NAMES)}
FORMATS: tuple[str, ...] = (".csv", ".npz")


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
    """Read a .npz of coefficients, or a .csv with columns named as the ARKit weights (any capitals).

    Arrays of a .npz are (K,) for one frame or (N, K); `SPELLINGS` lists their names. A shape (K,) stands for all
    frames.

    Raises:
        Smirk3dError: The file cannot be read, or holds nothing of use.
    """
    path = Path(path)
    try:
        if path.suffix.lower() == ".csv":
            return _read_csv(path)
        return _read_npz(path)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise Smirk3dError(
            f"{printable(path)}: cannot be read as expressions ({printable(reason)}); give a .npz of coefficients or "
            "a .csv of ARKit weights"
        ) from error


def _read_npz(path: Path) -> Expressions:
    arrays: dict[str, np.ndarray] = {}
    with np.load(path, allow_pickle=False) as file:
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise ValueError("it is a single array")
        for name, spellings in SPELLINGS.items():
            found = [spelling for spelling in spellings if spelling in file]
            if found:
                arrays[name] = np.atleast_2d(file[found[0]].astype(np.float32))
        head = str(file["head"]) if "head" in file else ""
        names = [str(name) for name in file["arkit_names"]] if "arkit_names" in file else list(ARKIT_NAMES)
    if not {"expression", "arkit"} & set(arrays):
        raise ValueError("it has neither 'expression' nor 'arkit'")
    if "arkit" in arrays:
        arrays["arkit"] = _in_order(arrays["arkit"], names)
    count = max(len(values) for values in arrays.values())
    for name, values in arrays.items():
        if values.ndim != 2 or len(values) not in (1, count) or values.shape[1] != SIZES.get(name, values.shape[1]):
            raise ValueError(f"{name!r} has the shape {values.shape}, with {count} frames in all")
        if not np.isfinite(values).all():
            raise ValueError(f"{name!r} has entries that are no numbers")
    spread = {name: np.broadcast_to(values, (count, values.shape[1])) for name, values in arrays.items()}
    return Expressions(tuple(map(str, range(count))), spread, head)


def _read_csv(path: Path) -> Expressions:
    with open(path, encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise ValueError("it has no rows")
    columns = {str(column).strip().lower(): column for column in rows[0]}
    missing = [name for name in ARKIT_NAMES if name.lower() not in columns]
    # Detectors that do not know the tongue write 51 columns.
    if set(missing) - {"tongueOut"}:
        raise ValueError(f"it has no column {missing[0]!r}")
    given = [name for name in ARKIT_NAMES if name not in missing]
    usable = [row for row in rows if all(row[columns[name.lower()]] for name in given)]
    if not usable:
        raise ValueError("no row has weights")
    weights = np.array([[float(row[columns[name.lower()]]) for name in given] for row in usable], dtype=np.float32)
    first = next(iter(rows[0]))
    return Expressions(tuple(str(row[first]) for row in usable), {"arkit": _in_order(weights, given)})


def _in_order(weights: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Return weights (N, K) with columns `names` as (N, 52) in Apple's order; a missing tongueOut is 0."""
    if weights.ndim != 2 or weights.shape[1] != len(names):
        raise ValueError(f"'arkit' has the shape {weights.shape}, for {len(names)} names")
    position = {name: column for column, name in enumerate(names)}
    still = np.zeros(len(weights), dtype=np.float32)
    ordered = [weights[:, position[name]] if name in position else still for name in ARKIT_NAMES]
    return np.stack(ordered, axis=1).clip(0, 1)


def write_arkit(path: str | Path, frames: Sequence[str], arrays: dict[str, np.ndarray]) -> None:
    """Write ARKit weights as .csv (one row a frame) or .npz, whole or not at all.

    Args:
        path: Target, ending in one of `FORMATS`. frames: N names.
        arrays: "arkit" (N, 52), and (N,) columns of any name.

    Raises:
        Smirk3dError: The suffix is unknown, or writing failed.
    """
    path = Path(path)
    if path.suffix.lower() == ".npz":
        texts = {"frames": np.array(frames), "arkit_names": np.array(ARKIT_NAMES)}
        return write_arrays(path, arrays | texts)
    if path.suffix.lower() != ".csv":
        raise Smirk3dError(f"{printable(path)}: must end in one of {' '.join(FORMATS)}")
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
    with atomic_path(Path(path)) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
