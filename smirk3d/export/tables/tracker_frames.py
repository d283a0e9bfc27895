"""Coefficients of metrical-tracker: one `.frame` per image, written with `torch.save`, or a folder of them.

A file holds dictionaries of arrays: `flame` with expression, shape, jaw, eyes and eyelids, and the camera. Nothing in
it is executed; besides plain values only tensors and NumPy arrays are built.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from smirk3d.assets import printable
from smirk3d.bounded_io import one_line

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
    from smirk3d.networks.torch_file import read_arrays

    try:
        found, others = read_arrays(path, MAX_FILE_BYTES, _PARAMETERS)
    except OSError:
        raise
    except Exception as error:  # on damaged bytes the reader raises exceptions of nearly any class
        raise ValueError(f"{printable(path.name)} is no file of arrays ({one_line(error)})") from error
    return found | {name: np.zeros(0) for name in others if name != "frame_id"}
