"""The reader of the files of `torch.save`: it builds plain values and records of where tensors are stored.

A file holds a pickle, a program that may refer to any function of any package. Every name but those of tensors becomes
a stub that accepts anything and does nothing, so that nothing in the file is ever imported or executed.

Source: the two formats of `torch.save`, an archive since torch 1.6 and a row of pickles before.
"""

from __future__ import annotations

import io
import math
import os
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

import torch
from torch import Tensor

from smirk3d.head.flame.allowed_names import ALLOWED
from smirk3d.head.flame.bounded_unpickler import BoundedUnpickler
from smirk3d.head.flame.safe_stub import SafeOrderedDict, SafeStub

ARCHIVE_START, LEGACY_START = b"PK\x03\x04", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""First bytes of the two formats."""
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


@dataclass(frozen=True)
class Storage:
    """Storage of one dtype in the file."""

    dtype: torch.dtype
    key: str


@dataclass(frozen=True)
class StoredTensor:
    """A tensor that has not been read yet."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


Load = Callable[[Storage], Tensor]
_MAX_EXPANDED = 1 << 25
"""Elements of a tensor that is larger than its storage: that of the largest layer of the known networks."""


def is_state(value: object) -> bool:
    """Return whether a value is a dictionary of tensors."""
    return isinstance(value, dict) and all(isinstance(n, str) and isinstance(t, StoredTensor) for n, t in value.items())


def load_tensors(state: Mapping[str, StoredTensor], load: Load, loaded: dict[str, Tensor]) -> dict[str, Tensor]:
    """Read tensors.

    Args:
        state: Their records, by name.
        load: Reads a storage.
        loaded: Storages that have been read, by key; extended.

    Raises:
        ValueError: A tensor is larger than its storage.
    """
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


def open_torch_file(file: IO[bytes], reader: type[TorchReader] | None = None) -> tuple[object, Load]:
    """Read the pickle of a file, and return a reader of its storages.

    Args:
        file: The file.
        reader: What the pickle may build; tensors by default.
    """
    legacy = file.read(len(LEGACY_START)) == LEGACY_START
    return (_read_legacy if legacy else _read_archive)(file, reader or TorchReader)


def open_archive(file: IO[bytes]) -> zipfile.ZipFile:
    """Open an archive. torch compresses no entry; without compression and overlap the file bounds the memory."""
    archive = zipfile.ZipFile(file)
    if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
        raise ValueError("a compressed entry")
    if sum(info.file_size for info in archive.infolist()) > file.seek(0, os.SEEK_END):
        raise ValueError("entries that are larger than the file")
    return archive


def archive_root(archive: zipfile.ZipFile) -> str:
    """Return the beginning of the names of entries; raises `ValueError` where there is no pickle."""
    root = next((name.removesuffix("data.pkl") for name in archive.namelist() if name.endswith("/data.pkl")), None)
    if root is None:
        raise ValueError("no data.pkl in it")
    return root


def _read_archive(file: IO[bytes], reader: type[TorchReader]) -> tuple[object, Load]:
    """Read the pickle in a zip archive; each storage is the entry `data/KEY`."""
    archive = open_archive(file)
    root = archive_root(archive)
    if f"{root}byteorder" in archive.namelist() and archive.read(f"{root}byteorder") != b"little":
        raise ValueError("its numbers are big-endian")

    def load(storage: Storage) -> Tensor:
        return _numbers(archive.read(f"{root}data/{storage.key}"), storage.dtype)

    return reader(io.BytesIO(archive.read(f"{root}data.pkl"))).load(), load


def _read_legacy(file: IO[bytes], reader: type[TorchReader]) -> tuple[object, Load]:
    """Read a sequence of pickles; after them comes, for each storage, its length in eight bytes and its values."""
    file_size = file.seek(0, os.SEEK_END)
    file.seek(0)
    bounded = _BoundedFile(file, file_size)
    for _ in range(_LEGACY_HEADERS):
        TorchReader(bounded).load()
    main = reader(bounded)
    content, keys = main.load(), TorchReader(bounded).load()
    location: dict[str, tuple[int, int]] = {}
    for key in keys if isinstance(keys, list) else ():
        n_bytes = int.from_bytes(file.read(8), "little") * main.storages[key].dtype.itemsize
        if n_bytes > file_size - file.tell():
            raise ValueError("a tensor is larger than the file")
        location[key] = file.tell(), n_bytes
        file.seek(n_bytes, os.SEEK_CUR)

    def load(storage: Storage) -> Tensor:
        start, n_bytes = location[storage.key]
        file.seek(start)
        return _numbers(file.read(n_bytes), storage.dtype)

    return content, load


class _BoundedFile:
    """A file of which no more is asked than it has: reading would allocate that first."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._size = file, size
        self.readline = file.readline

    def read(self, size: int) -> bytes:
        """Read at most so many bytes."""
        return self._file.read(max(0, min(size, self._size - self._file.tell())))


class TorchReader(BoundedUnpickler):
    """Unpickler that builds only plain values and records of tensors.

    Attributes:
        storages: Those that it has met, by key.
        counts: How many numbers each is stated to have.
    """

    def __init__(self, file: object) -> None:
        super().__init__(file, encoding="utf-8")  # type: ignore[arg-type]
        self.storages: dict[str, Storage] = {}
        self.counts: dict[str, int] = {}

    def find_class(self, module: str, name: str) -> object:
        """Return the replacement of a global; nothing is imported."""
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        return _REPLACEMENTS.get((module, name), _Ignored)

    def persistent_load(self, pid: object) -> Storage:
        """Record a storage."""
        kind, dtype, key, _, count, *rest = pid  # type: ignore[misc]
        if kind != "storage" or not isinstance(dtype, torch.dtype) or any(each is not None for each in rest):
            raise ValueError("a storage of an unknown kind")
        storage = Storage(dtype, str(key))
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
    ) -> StoredTensor:  # type: ignore[misc]
        """Record a tensor."""
        if not isinstance(storage, Storage):
            raise ValueError("a tensor without numbers")
        return StoredTensor(storage, int(offset), tuple(size), tuple(stride))


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


class ArrayReader(TorchReader):
    """Unpickler that also builds arrays of NumPy, and refuses every other name."""

    def find_class(self, module: str, name: str) -> object:
        """Return the replacement of a global; nothing is imported.

        Raises:
            ValueError: It is none of an array or a tensor.
        """
        if (module, name) in _REPLACEMENTS or (module == "torch" and name in _DTYPES):
            return super().find_class(module, name)
        if (module, name) not in ALLOWED:
            raise ValueError(f"it refers to {module}.{name}, which is not executed")
        return ALLOWED[module, name]
