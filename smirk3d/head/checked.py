"""Validation of arrays that were read from files; every message names the file and the entry."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from smirk3d.assets import printable
from smirk3d.bounded_io import array_of
from smirk3d.errors import Smirk3dError

MAX_LISTED = 1 << 24
"""Largest number of items of nested lists; arrays may be larger."""


def checked_array(path: Path, name: str, value: object) -> np.ndarray:
    """Return an entry of a file as an array of numbers.

    Args:
        path: The file, for messages.
        name: The entry, for messages.
        value: What the file holds under this name.

    Returns:
        An array of any shape of floats, integers or booleans.

    Raises:
        Smirk3dError: The value is no array of numbers.
    """
    try:
        array = array_of(value, MAX_LISTED)
    except (ValueError, RecursionError):  # a ragged list, or a huge one
        array = np.asarray(None)
    if array.dtype.kind not in "fiub":
        raise Smirk3dError(f"{printable(path)}: {name!r} is no array of numbers; get the file again")
    return array


def checked_integers(path: Path, name: str, value: object, bound: int) -> Tensor:
    """Return an entry of indices as an int64 tensor of the entry's shape.

    Args:
        path: The file, for messages.
        name: The entry, for messages.
        value: What the file holds under this name; integers, or floats with integral values.
        bound: Exclusive upper bound of the indices; the lower one is 0.

    Raises:
        Smirk3dError: The entry is empty, or a value is not integral or out of range.
    """
    array = checked_array(path, name, value)
    if array.size == 0 or not (np.isfinite(array).all() and array.min() >= 0 and array.max() < bound):
        raise Smirk3dError(f"{printable(path)}: {name!r} is not within 0 and {bound - 1}; is it for another mesh?")
    whole = array.astype(np.int64)
    if (whole != array).any():
        raise Smirk3dError(f"{printable(path)}: {name!r} is not of whole numbers; get the file again")
    return torch.from_numpy(whole)


def checked_floats(path: Path, name: str, value: object, shape: tuple[int | None, ...]) -> Tensor:
    """Return an entry of finite numbers as a contiguous float32 tensor.

    Args:
        path: The file, for messages.
        name: The entry, for messages.
        value: What the file holds under this name.
        shape: The expected shape; None stands for any positive size.

    Raises:
        Smirk3dError: The entry has another shape, or a number is not finite.
    """
    array = checked_array(path, name, value)
    fits = array.ndim == len(shape) and all(n == m if m is not None else n > 0 for n, m in zip(array.shape, shape))
    if not fits:
        wanted = "(" + ", ".join("any" if size is None else str(size) for size in shape) + ")"
        raise Smirk3dError(f"{printable(path)}: {name!r} is {array.shape}, expected {wanted}; is it for another mesh?")
    numbers = np.array(array, dtype=np.float32, order="C")
    if not np.isfinite(numbers).all():
        raise Smirk3dError(f"{printable(path)}: {name!r} has values that are not finite; get the file again")
    return torch.from_numpy(numbers)
