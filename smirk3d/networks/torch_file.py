"""Tensors out of checkpoints that other projects wrote with `torch.save`, whatever else is in them.

Such a file holds a pickle, a program that may name any function of any package: settings, optimisers, callbacks. This
reader lets it build plain values and notes of where tensors lie. Every other name stands for something that takes
anything, keeps nothing and does nothing, so that nothing in the file is ever looked up, imported or run.

Source: the two formats of `torch.save`, an archive since torch 1.6 and a row of pickles before.
"""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import torch
from torch import Tensor, nn

from smirk3d.assets import printable
from smirk3d.errors import Smirk3dError
from smirk3d.head.flame.safe_stub import SafeStub

_ARCHIVE, _LEGACY = b"PK\x03\x04", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_LEGACY_HEADERS = 3
"""Pickles before the content: a magic number, the version, and what the machine was."""
_DTYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
_COUNTERS = "num_batches_tracked"
"""Batch norms count the batches they saw, of which nothing depends; old files lack the count."""


def is_torch_file(path: str | os.PathLike[str]) -> bool:
    """Say whether a file begins as those of `torch.save` do."""
    try:
        with open(path, "rb") as file:
            start = file.read(len(_LEGACY))
    except OSError:
        return False
    return start == _LEGACY or start.startswith(_ARCHIVE)


def read_parts(path: str | os.PathLike[str], names: Sequence[str], remedy: str) -> dict[str, dict[str, Tensor]]:
    """Read state dicts that are entries of the dictionary in a file; nothing in the file is executed.

    Args:
        path: The file. names: Of the entries. remedy: What messages advise.

    Returns:
        Tensors on the CPU by the name of the entry and their own; entries that are missing or are no dictionaries of
        tensors are left out.

    Raises:
        Smirk3dError: The file cannot be read, is damaged, or was not written by `torch.save`.
    """
    try:
        with open(path, "rb") as file:
            legacy = file.read(len(_LEGACY)) == _LEGACY
            content, load = (_legacy if legacy else _archived)(file)
            if not isinstance(content, dict):
                raise ValueError("no dictionary")
            loaded: dict[str, Tensor] = {}
            return {name: _tensors(content[name], load, loaded) for name in names if _is_state(content.get(name))}
    except OSError as error:
        reason = printable(error.strerror or str(error))
        raise Smirk3dError(f"{printable(path)}: {reason}; {remedy}") from error
    except Exception as error:  # on damaged bytes the readers raise nearly any kind there is
        reason = printable(" ".join((str(error) or type(error).__name__).split()))[:200]
        raise Smirk3dError(f"{printable(path)}: is no sound file of torch.save ({reason}); {remedy}") from error


def fill(network: nn.Module, state: Mapping[str, Tensor]) -> str:
    """Load tensors into a network, all or none.

    Args:
        network: May be on the device meta; then the tensors become its own. state: Its tensors, all as float32 but
            for the counters of batch norms, which are set to 0.

    Returns:
        "" or what does not fit, to be made part of a message.
    """
    own = network.state_dict()
    wanted = {name: tensor.shape for name, tensor in own.items() if not name.endswith(_COUNTERS)}
    given = {name: tensor for name, tensor in state.items() if not name.endswith(_COUNTERS)}
    if fault := misfit(given, wanted):
        return fault
    counters = {name: torch.zeros((), dtype=torch.int64) for name in own if name.endswith(_COUNTERS)}
    network.load_state_dict({name: tensor.float() for name, tensor in given.items()} | counters, assign=True)
    return ""


def misfit(
    given: Mapping[str, Tensor], wanted: Mapping[str, torch.Size], unneeded: Mapping[str, torch.Size] | None = None
) -> str:
    """Return "" or which tensor is missing, unknown or of another shape, and how many more are.

    Args:
        given: By name. wanted: Shapes of those that are needed. unneeded: Of those that may be there as well.
    """
    known = {**wanted, **(unneeded or {})}
    faults = [f"{name} is missing" for name in wanted if name not in given]
    faults += [f"{printable(name)} is unknown" for name in given if name not in known]
    faults += [
        f"{name} is {tuple(tensor.shape)}, not {tuple(known[name])}"
        for name, tensor in given.items()
        if name in known and tensor.shape != known[name]
    ]
    return faults[0] + (f" and {len(faults) - 1} more" if len(faults) > 1 else "") if faults else ""


@dataclass(frozen=True)
class _Storage:
    """Where numbers of a type lie."""

    dtype: torch.dtype
    key: str


@dataclass(frozen=True)
class _Stored:
    """A tensor that has not been read yet."""

    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


_Load = Callable[[_Storage], Tensor]


def _is_state(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(n, str) and isinstance(t, _Stored) for n, t in value.items())


def _tensors(state: Mapping[str, _Stored], load: _Load, loaded: dict[str, Tensor]) -> dict[str, Tensor]:
    tensors = {}
    for name, stored in state.items():
        key = stored.storage.key
        if key not in loaded:
            loaded[key] = load(stored.storage)
        tensors[name] = loaded[key].as_strided(stored.size, stored.stride, stored.offset)  # checks the bounds
    return tensors


def _archived(file: BinaryIO) -> tuple[object, _Load]:
    """Read the pickle in a zip archive; numbers are in its `data/KEY`."""
    archive = zipfile.ZipFile(file)
    root = next((name.removesuffix("data.pkl") for name in archive.namelist() if name.endswith("/data.pkl")), None)
    if root is None:
        raise ValueError("no data.pkl in it")
    if f"{root}byteorder" in archive.namelist() and archive.read(f"{root}byteorder") != b"little":
        raise ValueError("its numbers are big-endian")

    def load(storage: _Storage) -> Tensor:
        content = _entry(archive, f"{root}data/{storage.key}")
        return torch.frombuffer(bytearray(content), dtype=storage.dtype)

    return _Reader(io.BytesIO(_entry(archive, f"{root}data.pkl"))).load(), load


def _entry(archive: zipfile.ZipFile, name: str) -> bytes:
    """Read an entry; torch compresses none, and what is not compressed is no larger than the file."""
    if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
        raise ValueError("a compressed entry")
    return archive.read(name)


def _legacy(file: BinaryIO) -> tuple[object, _Load]:
    """Read a row of pickles; behind them follow, for each key, the count of numbers in eight bytes, and these."""
    file.seek(0)
    for _ in range(_LEGACY_HEADERS):
        _Reader(file).load()
    reader = _Reader(file)
    content, keys = reader.load(), _Reader(file).load()
    place: dict[str, tuple[int, int]] = {}
    for key in keys if isinstance(keys, list) else ():
        n_bytes = int.from_bytes(file.read(8), "little") * reader.storages[key].dtype.itemsize
        place[key] = file.tell(), n_bytes
        file.seek(n_bytes, os.SEEK_CUR)

    def load(storage: _Storage) -> Tensor:
        start, n_bytes = place[storage.key]
        file.seek(start)
        return torch.frombuffer(bytearray(file.read(n_bytes)), dtype=storage.dtype)

    return content, load


class _Reader(pickle.Unpickler):
    """Builds what a file may build; `storages`: what it has met, by key."""

    def __init__(self, file: object) -> None:
        super().__init__(file, encoding="utf-8")  # type: ignore[arg-type]
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> object:
        """Return what stands for a name; nothing is imported."""
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        return _MEANT.get((module, name), _Nothing)

    def persistent_load(self, pid: object) -> _Storage:
        """Note a storage."""
        kind, dtype, key, _, _, *rest = pid  # type: ignore[misc]
        if kind != "storage" or not isinstance(dtype, torch.dtype) or any(each is not None for each in rest):
            raise ValueError("a storage of an unknown kind")
        storage = _Storage(dtype, str(key))
        return self.storages.setdefault(storage.key, storage)


class _Nothing(SafeStub):
    """Whatever else a file names, and what it makes of that."""

    __slots__ = ()

    def __new__(cls, *args: object, **kwargs: object) -> _Nothing:
        """Forget the arguments."""
        return super().__new__(cls)

    def __call__(self, *args: object, **kwargs: object) -> _Nothing:
        """Forget the arguments."""
        return self

    def __setstate__(self, state: object) -> None:
        """Forget the attributes."""

    def __setitem__(self, key: object, value: object) -> None:
        """Forget an entry."""

    def append(self, item: object) -> None:
        """Forget an item."""

    extend = add = append


class _RebuildTensor(SafeStub):
    """`_rebuild_tensor_v2` of torch."""

    __slots__ = ()

    def __new__(
        cls, storage: object, offset: int, size: Sequence[int], stride: Sequence[int], *rest: object
    ) -> _Stored:  # type: ignore[misc]
        """Note a tensor."""
        if not isinstance(storage, _Storage):
            raise ValueError("a tensor without numbers")
        return _Stored(storage, int(offset), tuple(size), tuple(stride))


class _RebuildParameter(SafeStub):
    """`_rebuild_parameter` of torch."""

    __slots__ = ()

    def __new__(cls, data: object, *rest: object) -> object:  # type: ignore[misc]
        """Take the tensor itself."""
        return data


_MEANT: Mapping[tuple[str, str], type] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _RebuildTensor,
    ("torch._utils", "_rebuild_parameter"): _RebuildParameter,
}
"""(module, name) -> what stands for it."""
