"""Safe reading of tensors from checkpoints that other projects wrote with `torch.save`.

Such a file holds a pickle, a program that may refer to any function of any package: settings, optimisers, callbacks.
This reader lets it build plain values and records of where tensors are stored. Every other name becomes a stub that
accepts anything and does nothing, so that nothing in the file is ever imported or executed.

Source: the two formats of `torch.save`, an archive since torch 1.6 and a row of pickles before.
"""

from __future__ import annotations

import io
import math
import os
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import torch
from torch import Tensor, nn

from smirk3d.assets import printable
from smirk3d.bounded_io import check_plain_file
from smirk3d.errors import Smirk3dError
from smirk3d.head.flame.bounded_unpickler import BoundedUnpickler
from smirk3d.head.flame.safe_stub import SafeOrderedDict, SafeStub

_ARCHIVE, _LEGACY = b"PK\x03\x04", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_LEGACY_HEADERS = 3
"""Pickles before the content: a magic number, the version, and properties of the system."""
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
"""Counter of training batches in batch norms, which does not affect outputs; old files lack it."""


def is_torch_file(path: str | os.PathLike[str]) -> bool:
    """Return whether a file begins like those of `torch.save`.

    Args:
        path: The file; False where it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(len(_LEGACY))
    except OSError:
        return False
    return start == _LEGACY or start.startswith(_ARCHIVE)


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
        check_plain_file(path)
        with open(path, "rb") as file:
            content, load = _open(file)
            if not isinstance(content, dict):
                raise ValueError("no dictionary")
            loaded: dict[str, Tensor] = {}
            return {name: _tensors(content[name], load, loaded) for name in names if _is_state(content.get(name))}
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
    check_plain_file(path)
    with open(path, "rb") as file:
        content, load = _open(file)
        return _tensors(content, load, {}) if _is_state(content) else None  # type: ignore[arg-type]


def check_archive(path: str | os.PathLike[str]) -> None:
    """Check that `torch.load` can read an archive in time and memory that grow no faster than the file.

    Args:
        path: The file.

    Raises:
        Exception: Nearly any, where the file is damaged, has compressed entries, or states sizes that it does not have.
    """
    check_plain_file(path)
    with open(path, "rb") as file:
        archive = _archive(file)
        root = _root(archive)
        reader = _Reader(io.BytesIO(archive.read(f"{root}data.pkl")))
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


@dataclass(frozen=True)
class _Storage:
    """Storage of one dtype in the file."""

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
_MAX_EXPANDED = 1 << 25
"""Elements of a tensor that is larger than its storage: that of the largest layer of the known networks."""


def _is_state(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(n, str) and isinstance(t, _Stored) for n, t in value.items())


def _tensors(state: Mapping[str, _Stored], load: _Load, loaded: dict[str, Tensor]) -> dict[str, Tensor]:
    tensors = {}
    for name, stored in state.items():
        key = stored.storage.key
        if key not in loaded:
            loaded[key] = load(stored.storage)
        # Strides of 0 make a huge tensor of a few numbers; small ones are legitimate (`Tensor.expand`).
        if math.prod(stored.size) > max(len(loaded[key]), _MAX_EXPANDED):
            raise ValueError("a tensor is larger than its storage")
        tensors[name] = loaded[key].as_strided(stored.size, stored.stride, stored.offset)  # checks the bounds
    return tensors


def _numbers(content: bytes, dtype: torch.dtype) -> Tensor:
    return torch.frombuffer(bytearray(content), dtype=dtype) if content else torch.empty(0, dtype=dtype)


def _open(file: BinaryIO) -> tuple[object, _Load]:
    """Read the pickle of a file, and return a reader of its storages."""
    legacy = file.read(len(_LEGACY)) == _LEGACY
    return (_read_legacy if legacy else _read_archive)(file)


def _archive(file: BinaryIO) -> zipfile.ZipFile:
    """Open an archive. torch compresses no entry; without compression and overlap the file bounds the memory."""
    archive = zipfile.ZipFile(file)
    if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
        raise ValueError("a compressed entry")
    if sum(info.file_size for info in archive.infolist()) > file.seek(0, os.SEEK_END):
        raise ValueError("entries that are larger than the file")
    return archive


def _root(archive: zipfile.ZipFile) -> str:
    root = next((name.removesuffix("data.pkl") for name in archive.namelist() if name.endswith("/data.pkl")), None)
    if root is None:
        raise ValueError("no data.pkl in it")
    return root


def _read_archive(file: BinaryIO) -> tuple[object, _Load]:
    """Read the pickle in a zip archive; each storage is the entry `data/KEY`."""
    archive = _archive(file)
    root = _root(archive)
    if f"{root}byteorder" in archive.namelist() and archive.read(f"{root}byteorder") != b"little":
        raise ValueError("its numbers are big-endian")

    def load(storage: _Storage) -> Tensor:
        return _numbers(archive.read(f"{root}data/{storage.key}"), storage.dtype)

    return _Reader(io.BytesIO(archive.read(f"{root}data.pkl"))).load(), load


def _read_legacy(file: BinaryIO) -> tuple[object, _Load]:
    """Read a sequence of pickles; after them comes, for each storage, its length in eight bytes and its values."""
    file_size = file.seek(0, os.SEEK_END)
    file.seek(0)
    bounded = _BoundedFile(file, file_size)
    for _ in range(_LEGACY_HEADERS):
        _Reader(bounded).load()
    reader = _Reader(bounded)
    content, keys = reader.load(), _Reader(bounded).load()
    location: dict[str, tuple[int, int]] = {}
    for key in keys if isinstance(keys, list) else ():
        n_bytes = int.from_bytes(file.read(8), "little") * reader.storages[key].dtype.itemsize
        if n_bytes > file_size - file.tell():
            raise ValueError("a tensor is larger than the file")
        location[key] = file.tell(), n_bytes
        file.seek(n_bytes, os.SEEK_CUR)

    def load(storage: _Storage) -> Tensor:
        start, n_bytes = location[storage.key]
        file.seek(start)
        return _numbers(file.read(n_bytes), storage.dtype)

    return content, load


class _BoundedFile:
    """A file of which no more is asked than it has: reading would allocate that first."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size
        self.readline = file.readline

    def read(self, size: int) -> bytes:
        """Read at most so many bytes."""
        return self._file.read(max(0, min(size, self._size - self._file.tell())))


class _Reader(BoundedUnpickler):
    """Unpickler that builds only plain values and records of tensors.

    Attributes:
        storages: Those that it has met, by key.
        counts: How many numbers each is stated to have.
    """

    def __init__(self, file: object) -> None:
        super().__init__(file, encoding="utf-8")  # type: ignore[arg-type]
        self.storages: dict[str, _Storage] = {}
        self.counts: dict[str, int] = {}

    def find_class(self, module: str, name: str) -> object:
        """Return the replacement of a global; nothing is imported."""
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        return _REPLACEMENTS.get((module, name), _Ignored)

    def persistent_load(self, pid: object) -> _Storage:
        """Record a storage."""
        kind, dtype, key, _, count, *rest = pid  # type: ignore[misc]
        if kind != "storage" or not isinstance(dtype, torch.dtype) or any(each is not None for each in rest):
            raise ValueError("a storage of an unknown kind")
        storage = _Storage(dtype, str(key))
        self.counts[storage.key] = max(self.counts.get(storage.key, 0), int(count))
        return self.storages.setdefault(storage.key, storage)


class _Ignored(SafeStub):
    """Stub for any other global and everything made from it."""

    __slots__ = ()

    def __new__(cls, *args: object, **kwargs: object) -> _Ignored:
        """Ignore the arguments."""
        return super().__new__(cls)

    def __call__(self, *args: object, **kwargs: object) -> _Ignored:
        """Ignore the arguments."""
        return self

    def __setstate__(self, state: object) -> None:
        """Ignore the attributes."""

    def __setitem__(self, key: object, value: object) -> None:
        """Ignore an entry."""

    def append(self, item: object) -> None:
        """Ignore an item."""

    extend = add = append


class _RebuildTensor(SafeStub):
    """Replacement of torch's `_rebuild_tensor_v2`."""

    __slots__ = ()

    def __new__(
        cls, storage: object, offset: int, size: Sequence[int], stride: Sequence[int], *rest: object
    ) -> _Stored:  # type: ignore[misc]
        """Record a tensor."""
        if not isinstance(storage, _Storage):
            raise ValueError("a tensor without numbers")
        return _Stored(storage, int(offset), tuple(size), tuple(stride))


class _RebuildParameter(SafeStub):
    """Replacement of torch's `_rebuild_parameter`."""

    __slots__ = ()

    def __new__(cls, data: object, *rest: object) -> object:  # type: ignore[misc]
        """Return the tensor itself."""
        return data


_REPLACEMENTS: Mapping[tuple[str, str], type] = {
    ("collections", "OrderedDict"): SafeOrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _RebuildTensor,
    ("torch._utils", "_rebuild_parameter"): _RebuildParameter,
}
"""(module, name) of a global to its replacement."""
