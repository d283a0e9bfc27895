"""Stand-ins for the sparse matrices of SciPy in the pickles of head files."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import numpy as np

from smirk3d.bounded_io import array_of
from smirk3d.head.flame.safe_stub import SafeStub

_MAX_ENTRIES = 1 << 24
"""Matrices with more entries are rejected."""
_MAX_LISTED = 1 << 22
"""Longest list of indices or numbers."""


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
