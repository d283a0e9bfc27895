"""Stand-ins for the arrays of NumPy in pickles, whose types and shapes are validated before NumPy uses them."""

from __future__ import annotations

import math
import re

import numpy as np

from smirk3d.head.flame.safe_stub import SafeStub, as_bytes

_DTYPE = re.compile(r"b1|[iu][1248]|f[248]|c(8|16)|O[48]?|[SU][1-9]\d{0,3}")
_MAX_LENGTH = 1 << 24
"""Arrays with a longer axis beside an empty one are rejected."""


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
        shape = checked_shape(shape)
        if dtype.value.hasobject:
            if not isinstance(content, list) or len(content) != math.prod(shape):
                raise ValueError("array of objects without its objects")
        else:
            content = as_bytes(content)
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
        flat = np.frombuffer(as_bytes(content), _plain_dtype(dtype))
        return flat.reshape(checked_shape(shape), order="F" if order == "F" else "C")


class NumpyScalar(SafeStub):
    """`scalar` of numpy: one number."""

    __slots__ = ()

    def __new__(cls, dtype: DType, content: object) -> np.generic:  # type: ignore[misc]
        """Make the number."""
        return np.frombuffer(as_bytes(content), _plain_dtype(dtype), count=1)[0]


def checked_shape(shape: object) -> tuple[int, ...]:
    """Return the shape of an array; raises `ValueError` where it is none."""
    if not isinstance(shape, tuple) or len(shape) > 8 or not all(isinstance(n, int) and n >= 0 for n in shape):
        raise ValueError("array of a shape that is none")
    if not math.prod(shape) and max(shape, default=0) > _MAX_LENGTH:
        raise ValueError(f"array of shape {shape}")
    return shape


def _plain_dtype(dtype: object) -> np.dtype:
    if not isinstance(dtype, DType) or dtype.value.hasobject:
        raise ValueError("array without a type")
    return dtype.value
