"""The binary half of a glTF file: arrays become accessors of one buffer."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import numpy as np
import pygltflib as gl

_TYPES = {1: gl.SCALAR, 2: gl.VEC2, 3: gl.VEC3, 4: gl.VEC4}
_COMPONENTS = {"uint16": gl.UNSIGNED_SHORT, "uint32": gl.UNSIGNED_INT, "float32": gl.FLOAT}


_ROW_BYTES = 12


@dataclass(frozen=True)
class SparseRows:
    """Which rows of T fields (height, 3) are not zero.

    Attributes:
        height: Rows of a field.
        counts: (T,) int64, rows given of each field.
        packed: The rows' indices as glTF stores them, field by field, each filled up to 4 bytes.
        packed_starts: (T,) int64, where each field's indices begin in `packed`.
        dtype: Type of the indices.
    """

    height: int
    counts: np.ndarray
    packed: bytes
    packed_starts: np.ndarray
    dtype: np.dtype


def sparse_rows(given: np.ndarray) -> SparseRows:
    """Return the layout of fields from (T, height) bool, true for the rows that are given."""
    dtype = np.dtype(np.uint16 if given.shape[1] < 0xFFFF else np.uint32)
    pieces = [_padded(np.flatnonzero(field).astype(dtype)) for field in given]
    lengths = np.array([len(piece) for piece in pieces])
    return SparseRows(given.shape[1], given.sum(axis=1), b"".join(pieces), np.cumsum(lengths) - lengths, dtype)


class BufferBuilder:
    """Collects arrays; `blob` is the buffer, `views` and `accessors` describe it."""

    def __init__(self) -> None:
        self.views: list[gl.BufferView] = []
        self.accessors: list[gl.Accessor] = []
        self._chunks: list[bytes] = []
        self._length = 0

    @property
    def blob(self) -> bytes:
        """All bytes added so far."""
        return b"".join(self._chunks)

    def add_bytes(self, data: bytes, target: int | None = None) -> int:
        """Append a buffer view and return its index; views start at multiples of 4 bytes."""
        self.views.append(gl.BufferView(buffer=0, byteOffset=self._length, byteLength=len(data), target=target))
        padding = b"\0" * (-len(data) % 4)
        self._chunks += [data, padding]
        self._length += len(data) + len(padding)
        return len(self.views) - 1

    def add_attribute(self, values: np.ndarray, *, bounds: bool = False) -> int:
        """Append a float32 vertex attribute (N, C) and return its accessor; POSITION needs `bounds`."""
        values = np.ascontiguousarray(values, dtype=np.float32)
        accessor = _accessor(values, bounds=bounds)
        accessor.bufferView = self.add_bytes(values.tobytes(), gl.ARRAY_BUFFER)
        return self._append(accessor)

    def add_keys(self, values: np.ndarray, *, bounds: bool = False) -> int:
        """Append float32 numbers of an animation (K, C), one row a key, and return their accessor.

        Times, which are (K, 1), need `bounds`. Morph weights are (K * T, 1), the T weights of a key together.
        """
        values = np.ascontiguousarray(values, dtype=np.float32)
        accessor = _accessor(values, bounds=bounds)
        accessor.bufferView = self.add_bytes(values.tobytes())
        return self._append(accessor)

    def add_indices(self, triangles: np.ndarray) -> int:
        """Append triangle corners (K, 3) and return their accessor."""
        dtype = np.uint16 if triangles.max() < 0xFFFF else np.uint32
        values = np.ascontiguousarray(triangles.reshape(-1, 1), dtype=dtype)
        accessor = _accessor(values)
        accessor.bufferView = self.add_bytes(values.tobytes(), gl.ELEMENT_ARRAY_BUFFER)
        return self._append(accessor)

    def add_sparse(self, rows: SparseRows, values: np.ndarray) -> list[int]:
        """Append fields of offsets, most of them zero, as sparse accessors that share two buffer views.

        Args:
            rows: Which rows of the fields are given.
            values: (N, 3) float32, those rows; the others are zero.

        Returns:
            The accessors' indices, one a field.
        """
        accessors = [gl.Accessor(componentType=gl.FLOAT, count=rows.height, type=gl.VEC3, byteOffset=None)]
        accessors += [copy.copy(accessors[0]) for _ in rows.counts[1:]]
        for accessor, low, high in zip(accessors, *_bounds(rows, values), strict=True):
            accessor.min, accessor.max = low, high
        if len(values):
            places = gl.AccessorSparseIndices(
                bufferView=self.add_bytes(rows.packed), componentType=_COMPONENTS[rows.dtype.name]
            )
            offsets = gl.AccessorSparseValues(bufferView=self.add_bytes(values.tobytes()))
            starts = np.cumsum(rows.counts) - rows.counts
            for k in np.flatnonzero(rows.counts):
                index_offset, value_offset = int(rows.packed_starts[k]), int(starts[k]) * _ROW_BYTES
                accessors[k].sparse = gl.Sparse(
                    count=int(rows.counts[k]),
                    indices=replace(places, byteOffset=index_offset),
                    values=replace(offsets, byteOffset=value_offset),
                )
        return [self._append(accessor) for accessor in accessors]

    def attach_to(self, document: gl.GLTF2) -> None:
        """Make the buffer, with all that was added, that of a document."""
        blob = self.blob
        document.bufferViews, document.accessors = self.views, self.accessors
        document.buffers = [gl.Buffer(byteLength=len(blob))]
        document.set_binary_blob(blob)

    def _append(self, accessor: gl.Accessor) -> int:
        self.accessors.append(accessor)
        return len(self.accessors) - 1


def _accessor(values: np.ndarray, *, bounds: bool = False) -> gl.Accessor:
    accessor = gl.Accessor(
        componentType=_COMPONENTS[values.dtype.name],
        count=len(values),
        type=_TYPES[values.shape[1]],
        byteOffset=None,
    )
    if bounds:
        accessor.min, accessor.max = values.min(axis=0).tolist(), values.max(axis=0).tolist()
    return accessor


def _bounds(rows: SparseRows, values: np.ndarray) -> tuple[list[list[float]], list[list[float]]]:
    """Return the least and the largest entries of each field, zeros that are not given included."""
    starts, some = np.cumsum(rows.counts) - rows.counts, rows.counts > 0
    bounds = np.zeros((2, len(rows.counts), 3), dtype=np.float32)
    if some.any():
        bounds[0, some] = np.minimum.reduceat(values, starts[some])
        bounds[1, some] = np.maximum.reduceat(values, starts[some])
    partial = rows.counts < rows.height
    bounds[0, partial], bounds[1, partial] = bounds[0, partial].clip(max=0), bounds[1, partial].clip(min=0)
    return bounds[0].tolist(), bounds[1].tolist()


def _padded(index: np.ndarray) -> bytes:
    """Return the bytes of sparse indices filled up to a multiple of 4, so that the next ones are aligned."""
    return index.tobytes() + b"\0" * (-index.nbytes % 4)
