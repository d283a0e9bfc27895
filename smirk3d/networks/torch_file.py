"""Safe reading of tensors and arrays from files that were written with `torch.save`; nothing in them is executed.

Checkpoints of other projects hold settings, optimisers, callbacks beside their tensors; these are left out. See
`smirk3d.networks.torch_reader`.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from smirk3d.assets import printable
from smirk3d.bounded_io import one_line, open_plain
from smirk3d.errors import Smirk3dError
from smirk3d.networks.torch_reader import (
    ARCHIVE_START,
    LEGACY_START,
    ArrayReader,
    StoredTensor,
    TorchReader,
    archive_root,
    is_state,
    load_tensors,
    open_archive,
    open_torch_file,
)

_COUNTERS = "num_batches_tracked"
"""Counter of training batches in batch norms, which does not affect outputs; old files lack it."""


def is_torch_file(path: str | os.PathLike[str]) -> bool:
    """Return whether a file begins like those of `torch.save`.

    Args:
        path: The file; False where it cannot be read.
    """
    try:
        with open_plain(path) as file:
            start = file.read(len(LEGACY_START))
    except (OSError, ValueError):
        return False
    return start == LEGACY_START or start.startswith(ARCHIVE_START)


def read_parts(path: str | os.PathLike[str], names: Sequence[str], remedy: str) -> dict[str, dict[str, Tensor]]:
    """Read state dicts that are entries of the dictionary in a file; nothing in the file is executed.

    Args:
        path: The file.
        names: Names of the entries.
        remedy: Advice at the end of error messages.

    Returns:
        Tensors on the CPU, by the name of the entry and their own; entries that are missing or are no dictionaries
        of tensors are left out.

    Raises:
        Smirk3dError: The file cannot be read, is damaged, or was not written by `torch.save`.
    """
    try:
        with open_plain(path) as file:
            content, load = open_torch_file(file)
            if not isinstance(content, dict):
                raise ValueError("no dictionary")
            loaded: dict[str, Tensor] = {}
            return {name: load_tensors(content[name], load, loaded) for name in names if is_state(content.get(name))}
    except OSError as error:
        reason = printable(error.strerror or str(error))
        raise Smirk3dError(f"{printable(path)}: {reason}; {remedy}") from error
    except Exception as error:  # on damaged bytes the readers raise exceptions of nearly any class
        reason = printable(" ".join((str(error) or type(error).__name__).split()))[:200]
        raise Smirk3dError(f"{printable(path)}: is no sound file of torch.save ({reason}); {remedy}") from error


def read_state_dict(path: str | os.PathLike[str]) -> dict[str, Tensor] | None:
    """Read a file that holds one state dict; nothing in the file is executed.

    Args:
        path: The file.

    Returns:
        Tensors on the CPU by their names; None where the file holds anything else.

    Raises:
        Exception: Nearly any, where the file cannot be read or is damaged.
    """
    with open_plain(path) as file:
        content, load = open_torch_file(file)
        return load_tensors(content, load, {}) if is_state(content) else None  # type: ignore[arg-type]


def read_own_state(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read a state dict that a recipe of this package wrote; nothing in the file is executed.

    Args:
        path: The file.

    Returns:
        Tensors on the CPU by their names.

    Raises:
        Smirk3dError: The file cannot be read, is damaged, or holds anything else.
    """
    try:
        state = read_state_dict(path)
    except Exception as error:  # on damaged bytes the reader raises exceptions of nearly any class
        raise _unreadable(path, error) from error
    if state is None:
        raise Smirk3dError(f"{printable(path)}: holds no state dict; {_WRITE_AGAIN}")
    return state


_WRITE_AGAIN = "delete it and run the recipe that wrote it again"


def _unreadable(path: str | os.PathLike[str], error: Exception) -> Smirk3dError:
    return Smirk3dError(f"{printable(path)}: cannot be read ({printable(one_line(error))}); {_WRITE_AGAIN}")


def read_arrays(
    path: str | os.PathLike[str], max_bytes: int, group: str = ""
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Read the arrays and tensors in the dictionary of a file; nothing in the file is executed.

    Args:
        path: The file.
        max_bytes: Largest size.
        group: Entry with a dictionary that is read in place of the outer one, where it is there.

    Returns:
        Arrays by their names, tensors as float32, and the names of the other entries of the outer dictionary where
        the group is there.

    Raises:
        OSError: The file cannot be read.
        ValueError: It holds no dictionary.
        Exception: Nearly any other, where it is damaged.
    """
    with open_plain(path, max_bytes) as file:
        content, load = open_torch_file(file, ArrayReader)
        if not isinstance(content, dict):
            raise ValueError("it holds no arrays by name")
        inner = content.get(group)
        chosen = inner if isinstance(inner, dict) else content
        tensors = load_tensors(
            {str(name): value for name, value in chosen.items() if isinstance(value, StoredTensor)}, load, {}
        )
        arrays = {name: tensor.float().numpy() for name, tensor in tensors.items()}
        arrays |= {
            str(name): value.view(np.ndarray)
            for name, value in chosen.items()
            if isinstance(value, np.ndarray) and value.dtype.kind in "fiu"
        }
    return arrays, [str(name) for name in content if isinstance(inner, dict) and name != group]


def check_archive(path: str | os.PathLike[str]) -> None:
    """Check that `torch.load` can read an archive in time and memory that grow no faster than the file.

    Args:
        path: The file.

    Raises:
        Exception: Nearly any, where the file is damaged, has compressed entries, or states sizes that it does not have.
    """
    with open_plain(path) as file:
        archive = open_archive(file)
        root = archive_root(archive)
        reader = TorchReader(io.BytesIO(archive.read(f"{root}data.pkl")))
        reader.load()
        for key, storage in reader.storages.items():
            if reader.counts[key] * storage.dtype.itemsize > archive.getinfo(f"{root}data/{key}").file_size:
                raise ValueError("a tensor is larger than its content")


def fill(network: nn.Module, state: Mapping[str, Tensor]) -> str:
    """Load tensors into a network, all or none.

    Args:
        network: Changed in place; may be on the device "meta", because the tensors are assigned, not copied.
        state: Its tensors, converted to float32; the counters of batch norms are set to 0.

    Returns:
        The misfit, for an error message, see `misfit`; "" where all tensors fit.
    """
    own = network.state_dict()
    expected = {name: tensor.shape for name, tensor in own.items() if not name.endswith(_COUNTERS)}
    given = {name: tensor for name, tensor in state.items() if not name.endswith(_COUNTERS)}
    if fault := misfit(given, expected):
        return fault
    counters = {name: torch.zeros((), dtype=torch.int64) for name in own if name.endswith(_COUNTERS)}
    network.load_state_dict({name: tensor.float() for name, tensor in given.items()} | counters, assign=True)
    return ""


def misfit(
    given: Mapping[str, Tensor], expected: Mapping[str, torch.Size], optional: Mapping[str, torch.Size] | None = None
) -> str:
    """Return which tensor is missing, unknown or of another shape, and how many more are.

    Args:
        given: Tensors by name.
        expected: Shapes of the required tensors.
        optional: Shapes of tensors that may be present as well.

    Returns:
        A clause for an error message; "" where all tensors fit.
    """
    known = {**expected, **(optional or {})}
    faults = [f"{name} is missing" for name in expected if name not in given]
    faults += [f"{printable(name)} is unknown" for name in given if name not in known]
    faults += [
        f"{name} is {tuple(tensor.shape)}, not {tuple(known[name])}"
        for name, tensor in given.items()
        if name in known and tensor.shape != known[name]
    ]
    return faults[0] + (f" and {len(faults) - 1} more" if len(faults) > 1 else "") if faults else ""
