"""Safe stubs for the classes and functions that pickled head files refer to: they hold numbers and do nothing else.

No class of another package is ever instantiated from a file. Each allowed name is mapped to a class of this module that
validates its arguments; `ALLOWED` is the complete list, besides the classes of chumpy.
"""

from __future__ import annotations

import io
import math
import re
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from types import MappingProxyType

import numpy as np
import torch

from smirk3d.bounded_io import array_of
from smirk3d.head.flame.bounded_unpickler import BoundedUnpickler, checked_items, ordered_dict

_DTYPE = re.compile(r"b1|[iu][1248]|f[248]|c(8|16)|O[48]?|[SU][1-9]\d{0,3}")
_LEGACY_STORAGE = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""First bytes of a legacy torch storage; the other formats of `torch.load` do not occur in head files."""
_MAX_ENTRIES = 1 << 24
"""Sparse matrices with more entries, and arrays with a longer axis beside an empty one, are rejected."""
_MAX_LISTED = 1 << 22
"""Longest list of indices or numbers."""


_LEGACY_PICKLES = 5
"""Magic number, version, system, the storage, and the list of storages."""


class SafeStub:
    """Base class of the stubs.

    Unpickling can set attributes of any object that a name stands for, classes and functions included. A class that
    defines `__setstate__` is protected, so every stub is a class.
    """

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        raise ValueError(f"{type(self).__name__} with a state")


class Chumpy(SafeStub):
    """Any object of chumpy.

    Attributes:
        state: The attributes of the object; its numbers are in the attribute `x`.
    """

    __slots__ = ("state",)

    def __new__(cls, *args: object, **kwargs: object) -> Chumpy:
        """Accept the arguments of the real constructor and ignore them."""
        self = super().__new__(cls)
        self.state = {}
        return self

    def __setstate__(self, state: object) -> None:
        # The state of an object with slots is a pair of dictionaries.
        for part in state if isinstance(state, tuple) else (state,):
            self.state.update(part or {})


class Sparse(SafeStub, ABC):
    """A matrix of scipy.sparse.

    Attributes:
        state: The attributes of the matrix.
    """

    __slots__ = ("state",)

    def __new__(cls, *args: object) -> Sparse:
        """Accept the arguments of the real constructor and ignore them."""
        self = super().__new__(cls)
        self.state = {}
        return self

    def __setstate__(self, state: dict) -> None:
        self.state.update(state)

    def dense_bytes(self) -> int:
        """Return the size of the dense matrix.

        Raises:
            ValueError: The attributes do not describe a matrix, or one that is too large.
        """
        return math.prod(self._shape()) * array_of(self.state["data"], _MAX_LISTED).dtype.itemsize

    def _shape(self) -> tuple[int, ...]:
        shape = tuple(int(size) for size in self.state.get("_shape", ()))
        if len(shape) != 2 or min(shape) < 0 or math.prod(shape) > _MAX_ENTRIES:
            raise ValueError(f"sparse matrix of shape {shape}")
        return shape

    def dense(self) -> np.ndarray:
        """Return the dense matrix.

        Raises:
            ValueError: The attributes do not describe a matrix.
        """
        shape = self._shape()
        rows, columns = (array_of(index, _MAX_LISTED) for index in self._indices())
        values = array_of(self.state["data"], _MAX_LISTED)
        if values.dtype.kind not in "biuf":
            raise ValueError(f"sparse matrix of {values.dtype}")
        if (
            rows.shape != columns.shape
            or rows.shape != values.shape
            or min(rows.min(initial=0), columns.min(initial=0)) < 0
        ):
            raise ValueError("sparse matrix with wrong indices")
        matrix = np.zeros(shape, values.dtype)
        np.add.at(matrix, (rows, columns), values)
        return matrix

    @abstractmethod
    def _indices(self) -> tuple[object, object]:
        """Return the row index and the column index of each stored value."""


class SparseColumns(Sparse):
    """A matrix in compressed column format (CSC)."""

    __slots__ = ()

    def _indices(self) -> tuple[object, object]:
        return self.state["indices"], _expanded(self.state["indptr"], self.state["indices"])


class SparseRows(Sparse):
    """A matrix in compressed row format (CSR)."""

    __slots__ = ()

    def _indices(self) -> tuple[object, object]:
        return _expanded(self.state["indptr"], self.state["indices"]), self.state["indices"]


class SparseList(Sparse):
    """A matrix in coordinate format (COO), with the attributes of old and of new versions of scipy."""

    __slots__ = ()

    def _indices(self) -> tuple[object, object]:
        rows, columns = self.state.get("coords") or (self.state["row"], self.state["col"])
        return rows, columns


def _expanded(pointers: object, indices: object) -> np.ndarray:
    """Return the row (or column) index of each stored value from the index pointers.

    Raises:
        ValueError: The pointers do not count the stored values.
    """
    pointer, stored = array_of(pointers, _MAX_LISTED), len(array_of(indices, _MAX_LISTED))
    if pointer.ndim != 1 or pointer.dtype.kind not in "iu" or not len(pointer):
        raise ValueError("sparse matrix with wrong pointers")
    count = np.diff(pointer.astype(np.int64))
    if pointer[0] != 0 or pointer[-1] != stored or (count < 0).any():
        raise ValueError("sparse matrix with wrong pointers")
    return np.repeat(np.arange(len(count)), count)


class DType(SafeStub):
    """`numpy.dtype`.

    Attributes:
        value: The real type: numbers, text or objects, but no records.
    """

    __slots__ = ("value",)

    def __new__(cls, code: str, *flags: object) -> DType:
        """Accept a type code of numpy, such as f8."""
        if not (isinstance(code, str) and _DTYPE.fullmatch(code)):
            raise ValueError(f"array of type {code!r}")
        self = super().__new__(cls)
        self.value = np.dtype("O" if code.startswith("O") else code)
        return self

    def __setstate__(self, state: tuple) -> None:
        if state[1] not in ("<", ">", "|", "=") or any(part is not None for part in state[2:5]):
            raise ValueError("array of records")
        if self.value.kind not in "OSb":
            self.value = self.value.newbyteorder(state[1])


class Array(np.ndarray):
    """An array whose state is validated before numpy uses it; files cannot refer to it."""

    def __setstate__(self, state: tuple) -> None:
        """Accept shape, type, order and content as numpy writes them."""
        shape, dtype, fortran, content = state[-4:]
        if not isinstance(dtype, DType):
            raise ValueError("array without a type")
        shape = _checked_shape(shape)
        if dtype.value.hasobject:
            if not isinstance(content, list) or len(content) != math.prod(shape):
                raise ValueError("array of objects without its objects")
        else:
            content = _as_bytes(content)
            if len(content) != math.prod(shape) * dtype.value.itemsize:
                raise ValueError(f"array of shape {shape} with {len(content)} bytes")
        super().__setstate__((1, shape, dtype.value, bool(fortran), content))  # type: ignore[arg-type]


class ArrayClass(SafeStub):
    """`numpy.ndarray`, to which pickled arrays refer without calling it."""

    __slots__ = ()


class NumpyReconstruct(SafeStub):
    """`_reconstruct` of numpy: an empty array that receives its state later."""

    __slots__ = ()

    def __new__(cls, kind: type, *ignored: object) -> Array:  # type: ignore[misc]
        """Make an empty array, whatever the requested shape."""
        if kind is not ArrayClass:
            raise ValueError(f"array of class {kind!r}")
        return np.zeros(0, np.int8).view(Array)


class NumpyFromBuffer(SafeStub):
    """`_frombuffer` of numpy: an array of pickle protocol 5."""

    __slots__ = ()

    def __new__(cls, content: bytes, dtype: DType, shape: object, order: str, *ignored: object) -> np.ndarray:  # type: ignore[misc]
        """Make the array."""
        flat = np.frombuffer(_as_bytes(content), _plain_dtype(dtype))
        return flat.reshape(_checked_shape(shape), order="F" if order == "F" else "C")


class NumpyScalar(SafeStub):
    """`scalar` of numpy: one number."""

    __slots__ = ()

    def __new__(cls, dtype: DType, content: object) -> np.generic:  # type: ignore[misc]
        """Make the number."""
        return np.frombuffer(_as_bytes(content), _plain_dtype(dtype), count=1)[0]


class Encode(SafeStub):
    """`_codecs.encode`, with which protocol 2 of Python 3 writes bytes."""

    __slots__ = ()

    def __new__(cls, text: str, encoding: str) -> bytes:  # type: ignore[misc]
        """Make the bytes."""
        if encoding not in ("latin1", "latin-1"):
            raise ValueError(f"bytes as {encoding!r}")
        return text.encode("latin1")


class NoBytes(SafeStub):
    """`bytes`, with which protocol 2 of Python 3 writes empty bytes."""

    __slots__ = ()

    def __new__(cls) -> bytes:  # type: ignore[misc]
        """Make the empty bytes."""
        return b""


class SafeSet(SafeStub):
    """`set`."""

    __slots__ = ()

    def __new__(cls, items: Iterable = ()) -> set:  # type: ignore[misc]
        """Make the set."""
        return set(checked_items(items))


class SafeFrozenSet(SafeStub):
    """`frozenset`."""

    __slots__ = ()

    def __new__(cls, items: Iterable = ()) -> frozenset:  # type: ignore[misc]
        """Make the set."""
        return frozenset(checked_items(items))


class SafeOrderedDict(SafeStub):
    """`collections.OrderedDict`."""

    __slots__ = ()

    def __new__(cls, items: Iterable = ()) -> OrderedDict:  # type: ignore[misc]
        """Make the dictionary."""
        return ordered_dict(items)


class ObjectClass(SafeStub):
    """`object`, to which protocol 0 refers without calling it."""

    __slots__ = ()


class CopyregReconstructor(SafeStub):
    """`copyreg._reconstructor`, with which protocols 0 and 1 create objects."""

    __slots__ = ()

    def __new__(cls, kind: type, *ignored: object) -> object:
        """Make an instance of a stub."""
        if not (isinstance(kind, type) and issubclass(kind, SafeStub)):
            raise ValueError(f"object of class {kind!r}")
        return kind()


class TorchStorage(SafeStub):
    """`_load_from_bytes` of torch.

    Attributes:
        value: (N,) the numbers of the storage.
    """

    __slots__ = ("value",)

    def __new__(cls, content: object) -> TorchStorage:
        """Read the storage with the restricted reader of torch."""
        content = _as_bytes(content)
        if not content.startswith(_LEGACY_STORAGE):
            raise ValueError("storage of an unknown format")
        _check_storage(content)
        storage = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        self = super().__new__(cls)
        self.value = torch.empty(0, dtype=storage.dtype).set_(storage)
        return self


class _StorageReader(BoundedUnpickler):
    """Reader of the pickles before the numbers of a storage, which builds nothing."""

    def __init__(self, file: io.BytesIO, n_bytes: int) -> None:
        super().__init__(file)
        self._n_bytes = n_bytes

    def find_class(self, module: str, name: str) -> type:
        """Return a stub of any name."""
        return SafeStub

    def persistent_load(self, pid: tuple) -> None:
        """Refuse a storage that is larger than the file."""
        if not isinstance(pid[4], int) or pid[4] > self._n_bytes:
            raise ValueError("storage larger than the file")


def _check_storage(content: bytes) -> None:
    """Read the pickles of a legacy storage before torch does, which would allocate whatever they state."""
    stream = io.BytesIO(content)
    for _ in range(_LEGACY_PICKLES):
        _StorageReader(stream, len(content)).load()


class TorchTensor(SafeStub):
    """`_rebuild_tensor_v2` of torch: a tensor, converted to an array."""

    __slots__ = ()

    def __new__(cls, storage: TorchStorage, offset: int, size: tuple, stride: tuple, *ignored: object) -> np.ndarray:  # type: ignore[misc]
        """Make the array; torch validates that it lies within the storage."""
        flat = storage.value
        # Strides of 0 would make a huge array of a few numbers.
        if math.prod(_checked_shape(size)) > len(flat):
            raise ValueError("tensor larger than its storage")
        return flat.as_strided(tuple(size), tuple(stride), offset).clone().numpy()


def _checked_shape(shape: object) -> tuple[int, ...]:
    if not isinstance(shape, tuple) or len(shape) > 8 or not all(isinstance(n, int) and n >= 0 for n in shape):
        raise ValueError("array of a shape that is none")
    if not math.prod(shape) and max(shape, default=0) > _MAX_ENTRIES:
        raise ValueError(f"array of shape {shape}")
    return shape


def _plain_dtype(dtype: object) -> np.dtype:
    if not isinstance(dtype, DType) or dtype.value.hasobject:
        raise ValueError("array without a type")
    return dtype.value


def _as_bytes(content: object) -> bytes:
    # Python 2 wrote bytes as text, which is read as latin1.
    if isinstance(content, str):
        return content.encode("latin1")
    if not isinstance(content, bytes | bytearray):
        raise ValueError(f"numbers as {type(content).__name__}")
    return bytes(content)


def _allowed() -> Mapping[tuple[str, str], type]:
    table: dict[tuple[str, str], type] = {
        ("collections", "OrderedDict"): SafeOrderedDict,
        ("numpy", "ndarray"): ArrayClass,
        ("numpy", "dtype"): DType,
        ("_codecs", "encode"): Encode,
        ("torch._utils", "_rebuild_tensor_v2"): TorchTensor,
        ("torch.storage", "_load_from_bytes"): TorchStorage,
    }
    for builtins in ("builtins", "__builtin__"):
        names = {"set": SafeSet, "frozenset": SafeFrozenSet, "object": ObjectClass, "bytes": NoBytes}
        table |= {(builtins, name): kind for name, kind in names.items()}
    for module in ("copyreg", "copy_reg"):
        table[module, "_reconstructor"] = CopyregReconstructor
    for core in ("numpy.core", "numpy._core"):
        table[f"{core}.multiarray", "_reconstruct"] = NumpyReconstruct
        table[f"{core}.multiarray", "scalar"] = NumpyScalar
        table[f"{core}.numeric", "_frombuffer"] = NumpyFromBuffer
    for name, kind in (("csc", SparseColumns), ("csr", SparseRows), ("coo", SparseList)):
        for module in (name, f"_{name}", "_arrays"):
            table |= {(f"scipy.sparse.{module}", f"{name}_{what}"): kind for what in ("matrix", "array")}
    return MappingProxyType(table)


ALLOWED = _allowed()
"""(module, name) -> its stub: all names to which a head file may refer."""
