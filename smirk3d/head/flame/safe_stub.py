"""Stand-ins for the classes that head files name: they keep numbers and can do nothing else.

No class of another package is ever built from a file. What a file may name is mapped to a class of this module,
which checks what it is given; `ALLOWED` is the whole list, besides the classes of chumpy.
"""

from __future__ import annotations

import io
import math
import re
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import torch

_DTYPE = re.compile(r"b1|[iu][1248]|f[248]|c(8|16)|O[48]?|[SU]\d{1,4}")
_LEGACY_STORAGE = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""How a storage inside a pickled tensor begins; `torch.load` knows other formats, which are not wanted here."""
_MAX_ENTRIES = 1 << 28
"""A sparse matrix with more entries than this is not made dense."""


class SafeStub:
    """A name that a file may use, and that does nothing.

    Unpickling can set attributes of whatever a name stands for, classes and functions included. A class with
    `__setstate__` is safe from that, and so everything here is a class.
    """

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        raise ValueError(f"{type(self).__name__} with a state")


class Chumpy(SafeStub):
    """Any object of chumpy. `state`: its attributes; the numbers are in the attribute `x`."""

    __slots__ = ("state",)

    def __new__(cls, *args: object, **kwargs: object) -> Chumpy:
        """Accept whatever the real constructor was given."""
        self = super().__new__(cls)
        self.state = {}
        return self

    def __setstate__(self, state: object) -> None:
        # The state of an object with slots is a pair of dictionaries.
        for part in state if isinstance(state, tuple) else (state,):
            self.state.update(part or {})


class Sparse(SafeStub, ABC):
    """A matrix of scipy.sparse. `state`: its attributes."""

    __slots__ = ("state",)

    def __new__(cls, *args: object) -> Sparse:
        """Accept whatever the real constructor was given."""
        self = super().__new__(cls)
        self.state = {}
        return self

    def __setstate__(self, state: dict) -> None:
        self.state.update(state)

    def dense(self) -> np.ndarray:
        """Return the matrix with its zeros.

        Raises:
            ValueError: The attributes do not describe a matrix.
        """
        shape = tuple(int(size) for size in self.state.get("_shape", ()))
        if len(shape) != 2 or min(shape) < 0 or math.prod(shape) > _MAX_ENTRIES:
            raise ValueError(f"sparse matrix of shape {shape}")
        rows, columns = (np.asarray(index) for index in self._indices())
        values = np.asarray(self.state["data"])
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
        """Return the row and the column of every stored value."""


class SparseColumns(Sparse):
    """A matrix of columns (CSC)."""

    __slots__ = ()

    def _indices(self) -> tuple[object, object]:
        return self.state["indices"], _expanded(self.state["indptr"])


class SparseRows(Sparse):
    """A matrix of rows (CSR)."""

    __slots__ = ()

    def _indices(self) -> tuple[object, object]:
        return _expanded(self.state["indptr"]), self.state["indices"]


class SparseList(Sparse):
    """A list of coordinates (COO), in the attributes of old and of new versions of scipy."""

    __slots__ = ()

    def _indices(self) -> tuple[object, object]:
        rows, columns = self.state.get("coords") or (self.state["row"], self.state["col"])
        return rows, columns


def _expanded(pointers: object) -> np.ndarray:
    """Return the line of every stored value, from where each line begins."""
    count = np.diff(np.asarray(pointers))
    return np.repeat(np.arange(len(count)), count)


class DType(SafeStub):
    """`numpy.dtype`. `value`: the real one: numbers, text or objects, no records."""

    __slots__ = ("value",)

    def __new__(cls, code: str, *flags: object) -> DType:
        """Take the code that numpy writes, such as f8."""
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
    """An array whose state is checked before numpy sees it; no file can name it."""

    def __setstate__(self, state: tuple) -> None:
        """Take shape, type, order and content, as numpy wrote them."""
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
    """`numpy.ndarray`, which arrays name and which is not called."""

    __slots__ = ()


class Reconstruct(SafeStub):
    """`_reconstruct` of numpy: an empty array that waits for its state."""

    __slots__ = ()

    def __new__(cls, kind: type, *ignored: object) -> Array:  # type: ignore[misc]
        """Make the array, whatever shape is asked for."""
        if kind is not ArrayClass:
            raise ValueError(f"array of class {kind!r}")
        return np.zeros(0, np.int8).view(Array)


class FromBuffer(SafeStub):
    """`_frombuffer` of numpy: an array of pickle protocol 5."""

    __slots__ = ()

    def __new__(cls, content: bytes, dtype: DType, shape: object, order: str, *ignored: object) -> np.ndarray:  # type: ignore[misc]
        """Make the array."""
        flat = np.frombuffer(_as_bytes(content), _plain_dtype(dtype))
        return flat.reshape(_checked_shape(shape), order="F" if order == "F" else "C")


class Scalar(SafeStub):
    """`scalar` of numpy: one number."""

    __slots__ = ()

    def __new__(cls, dtype: DType, content: object) -> np.generic:  # type: ignore[misc]
        """Make the number."""
        return np.frombuffer(_as_bytes(content), _plain_dtype(dtype), count=1)[0]


class Encode(SafeStub):
    """`_codecs.encode`, by which protocol 2 of Python 3 writes bytes."""

    __slots__ = ()

    def __new__(cls, text: str, encoding: str) -> bytes:  # type: ignore[misc]
        """Make the bytes."""
        if encoding not in ("latin1", "latin-1"):
            raise ValueError(f"bytes as {encoding!r}")
        return text.encode("latin1")


class NoBytes(SafeStub):
    """`bytes`, by which protocol 2 of Python 3 writes empty bytes."""

    __slots__ = ()

    def __new__(cls) -> bytes:  # type: ignore[misc]
        """Make the empty bytes."""
        return b""


class ObjectClass(SafeStub):
    """`object`, which protocol 0 names and which is not called."""

    __slots__ = ()


class Reconstructor(SafeStub):
    """`copyreg._reconstructor`, by which protocols 0 and 1 make objects."""

    __slots__ = ()

    def __new__(cls, kind: type, *ignored: object) -> object:
        """Make one of the stand-ins."""
        if not (isinstance(kind, type) and issubclass(kind, SafeStub)):
            raise ValueError(f"object of class {kind!r}")
        return kind()


class TorchStorage(SafeStub):
    """`_load_from_bytes` of torch. `value`: the numbers of a storage, a flat tensor."""

    __slots__ = ("value",)

    def __new__(cls, content: object) -> TorchStorage:
        """Read the storage with torch's own restricted reader."""
        content = _as_bytes(content)
        if not content.startswith(_LEGACY_STORAGE):
            raise ValueError("storage of an unknown format")
        storage = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        self = super().__new__(cls)
        self.value = torch.empty(0, dtype=storage.dtype).set_(storage)
        return self


class TorchTensor(SafeStub):
    """`_rebuild_tensor_v2` of torch: a tensor, as an array."""

    __slots__ = ()

    def __new__(cls, storage: TorchStorage, offset: int, size: tuple, stride: tuple, *ignored: object) -> np.ndarray:  # type: ignore[misc]
        """Make the array; torch itself checks that it lies within the storage."""
        flat = storage.value
        # Steps of 0 would make a huge array of a few numbers.
        if math.prod(_checked_shape(size)) > len(flat):
            raise ValueError("tensor larger than its storage")
        return flat.as_strided(tuple(size), tuple(stride), offset).clone().numpy()


def _checked_shape(shape: object) -> tuple[int, ...]:
    if not isinstance(shape, tuple) or len(shape) > 8 or not all(isinstance(n, int) and n >= 0 for n in shape):
        raise ValueError(f"array of shape {shape!r}")
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
        ("collections", "OrderedDict"): OrderedDict,
        ("numpy", "ndarray"): ArrayClass,
        ("numpy", "dtype"): DType,
        ("_codecs", "encode"): Encode,
        ("torch._utils", "_rebuild_tensor_v2"): TorchTensor,
        ("torch.storage", "_load_from_bytes"): TorchStorage,
    }
    for builtins in ("builtins", "__builtin__"):
        names = {"set": set, "frozenset": frozenset, "object": ObjectClass, "bytes": NoBytes}
        table |= {(builtins, name): kind for name, kind in names.items()}
    for module in ("copyreg", "copy_reg"):
        table[module, "_reconstructor"] = Reconstructor
    for core in ("numpy.core", "numpy._core"):
        table[f"{core}.multiarray", "_reconstruct"] = Reconstruct
        table[f"{core}.multiarray", "scalar"] = Scalar
        table[f"{core}.numeric", "_frombuffer"] = FromBuffer
    for name, kind in (("csc", SparseColumns), ("csr", SparseRows), ("coo", SparseList)):
        for module in (name, f"_{name}", "_arrays"):
            table |= {(f"scipy.sparse.{module}", f"{name}_{what}"): kind for what in ("matrix", "array")}
    return MappingProxyType(table)


ALLOWED = _allowed()
"""(module, name) -> the class that stands for it: all that a head file may name."""
