"""Coefficients of metrical-tracker: one `.frame` per image, written with `torch.save`, or a folder of them.

A file holds dictionaries of arrays: `flame` with expression, shape, jaw, eyes and eyelids, and the camera. It is read
with `weights_only`, so that nothing in it is executed; besides tensors only NumPy arrays may be built.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from smirk3d.assets import printable

SUFFIXES = (".frame", ".pt", ".pth")
MAX_FILE_BYTES = 64 << 20
MAX_FRAMES = 200_000
_PARAMETERS = "flame"
_IDENTITY_NAMES = ("shape",)


def is_tracker_file(path: Path) -> bool:
    """Return whether a path is a file of the tracker, or a folder with some."""
    return path.suffix.lower() in SUFFIXES or (path.is_dir() and next(path.glob("*.frame"), None) is not None)


def read_tracker_frames(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of all frames by their names, (T, K), and `frames`, their names (T,).

    Raises:
        OSError: A file cannot be read.
        ValueError: A file is no such file, too large, or differs from the others.
    """
    files = sorted(path.glob("*.frame")) if path.is_dir() else [path]
    if len(files) > MAX_FRAMES:
        raise ValueError(f"it has {len(files)} frames, more than {MAX_FRAMES}")
    records = [_read(file) for file in files]
    names = {name for record in records for name in record}
    for file, record in zip(files, records):
        if record.keys() != names:
            raise ValueError(f"{printable(file.name)} has other arrays than the other frames")
    arrays: dict[str, np.ndarray] = {}
    for name in sorted(names):
        values = [record[name] for record in records]
        if len({value.shape for value in values}) > 1:
            raise ValueError(f"{name!r} has different shapes in the frames")
        same = name in _IDENTITY_NAMES and all((value == values[0]).all() for value in values)
        arrays[name] = values[0] if same else np.concatenate([np.atleast_2d(value) for value in values])
    rows = max((len(np.atleast_2d(values)) for values in arrays.values()), default=0)
    if rows == len(files):
        arrays["frames"] = np.array([file.stem for file in files])
    return arrays


def _read(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a file, those of nested dictionaries under their own names."""
    import torch

    with open(path, "rb") as file:
        file.seek(0, 2)
        if file.tell() > MAX_FILE_BYTES:
            raise ValueError(f"{printable(path.name)} is larger than {MAX_FILE_BYTES >> 20} MiB")
    _check_members(path)
    try:
        with torch.serialization.safe_globals(_numpy_globals()):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # unpickling raises many types of errors for damaged files
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(f"{printable(path.name)} is no file of arrays ({reason})") from error
    if not isinstance(content, dict):
        raise ValueError(f"{printable(path.name)} holds no arrays by name")
    parameters = content.get(_PARAMETERS)
    found = _arrays(parameters if isinstance(parameters, dict) else content)
    others = [name for name in content if parameters is not None and name not in (_PARAMETERS, "frame_id")]
    return found | {str(name): np.zeros(0) for name in others}


def _check_members(path: Path) -> None:
    """Check the stated sizes in an archive before anything is inflated."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        if sum(member.file_size for member in archive.infolist()) > MAX_FILE_BYTES:
            raise ValueError(f"{printable(path.name)} is larger than {MAX_FILE_BYTES >> 20} MiB when inflated")


def _arrays(content: dict[Any, Any]) -> dict[str, np.ndarray]:
    """Return the arrays and tensors of a dictionary as NumPy arrays."""
    import torch

    found: dict[str, np.ndarray] = {}
    for name, value in content.items():
        if isinstance(value, torch.Tensor):
            found[str(name)] = value.detach().cpu().float().numpy()
        elif isinstance(value, np.ndarray) and value.dtype.kind in "fiu":
            found[str(name)] = value
    return found


def _numpy_globals() -> list[Any]:
    """Return what a pickle needs to build NumPy arrays, by their names in NumPy 1 and 2."""
    functions = {"_reconstruct": np.zeros(1).__reduce__()[0], "scalar": np.float32(0).__reduce__()[0]}
    names = [
        (function, f"numpy.{core}.multiarray.{name}")
        for name, function in functions.items()
        for core in ("core", "_core")
    ]
    kinds = [type(np.dtype(kind)) for kind in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?")]
    return [*names, np.ndarray, np.dtype, *kinds]
