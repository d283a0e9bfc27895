"""The binary part of a glTF file: arrays become accessors of one buffer (glTF 2.0 specification, section 3.6)."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import numpy as np
import pygltflib as gl

_TYPES = {1: gl.SCALAR, 2: gl.VEC2, 3: gl.VEC3, 4: gl.VEC4}
_COMPONENTS = {"uint16": gl.UNSIGNED_SHORT, "uint32": gl.UNSIGNED_INT, "float32": gl.FLOAT}
_ROW_BYTES = 12
"""Size of one row of three float32 values."""


@dataclass(frozen=True)
class SparseRows:
    """The rows that are stored of T sparse fields (height, 3); all other rows are zero.

    Attributes:
        height: Number of rows of each field.
        counts: (T,) int64 number of stored rows of each field.
        packed: Indices of the stored rows as glTF has them, field by field, each padded to a multiple of 4 bytes.
        packed_starts: (T,) int64 offset of each field's indices in `packed`, in bytes.
        dtype: Type of the indices, uint16 or uint32.
    """

    height: int
    counts: np.ndarray
    packed: bytes
    packed_starts: np.ndarray
    dtype: np.dtype


def sparse_rows(mask: np.ndarray) -> SparseRows:
    """Return the layout of T sparse fields.

    Args:
        mask: (T, height) bool, true for the rows that are stored.
    """
    # The largest value of a type is reserved in glTF (primitive restart).
    dtype = np.dtype(np.uint16 if mask.shape[1] < 0xFFFF else np.uint32)
    pieces = [_padded_bytes(np.flatnonzero(field).astype(dtype)) for field in mask]
    lengths = np.array([len(piece) for piece in pieces])
    return SparseRows(mask.shape[1], mask.sum(axis=1), b"".join(pieces), np.cumsum(lengths) - lengths, dtype)


class BufferBuilder:
    """Appends arrays to one buffer.

    Attributes:
        views: Buffer views of what was added.
        accessors: Accessors of what was added.
    """

    def __init__(self) -> None:
        self.views: list[gl.BufferView] = []
        self.accessors: list[gl.Accessor] = []
        self._chunks: list[bytes] = []
        self._length = 0
        self._zeros: dict[int, int] = {}

    @property
    def blob(self) -> bytes:
        """Contents of the buffer so far."""
        return b"".join(self._chunks)

    def add_bytes(self, data: bytes, target: int | None = None) -> int:
        """Append a buffer view and return its index; views start at multiples of 4 bytes."""
        self.views.append(gl.BufferView(buffer=0, byteOffset=self._length, byteLength=len(data), target=target))
        padding = b"\0" * (-len(data) % 4)
        self._chunks += [data, padding]
        self._length += len(data) + len(padding)
        return len(self.views) - 1

    def add_attribute(self, values: np.ndarray, *, bounds: bool = False) -> int:
        """Append a vertex attribute.

        Args:
            values: (N, C), stored as float32.
            bounds: Store minimum and maximum, which glTF requires of positions.

        Returns:
            Index of the accessor.
        """
        values = np.ascontiguousarray(values, dtype=np.float32)
        accessor = _accessor(values, bounds=bounds)
        accessor.bufferView = self.add_bytes(values.tobytes(), gl.ARRAY_BUFFER)
        return self._append(accessor)

    def add_keys(self, values: np.ndarray, *, bounds: bool = False) -> int:
        """Append the times or the values of an animation with K keys.

        Args:
            values: (K, C), stored as float32. Times are (K, 1); weights of T morph targets are (K * T, 1), those of one
                key together.
            bounds: Store minimum and maximum, which glTF requires of times.

        Returns:
            Index of the accessor.
        """
        values = np.ascontiguousarray(values, dtype=np.float32)
        accessor = _accessor(values, bounds=bounds)
        accessor.bufferView = self.add_bytes(values.tobytes())
        return self._append(accessor)

    def add_indices(self, triangles: np.ndarray) -> int:
        """Append triangles (K, 3), stored as uint16 or uint32; return the index of the accessor."""
        dtype = np.uint16 if triangles.max() < 0xFFFF else np.uint32
        values = np.ascontiguousarray(triangles.reshape(-1, 1), dtype=dtype)
        accessor = _accessor(values)
        accessor.bufferView = self.add_bytes(values.tobytes(), gl.ELEMENT_ARRAY_BUFFER)
        return self._append(accessor)

    def add_sparse(self, rows: SparseRows, values: np.ndarray) -> list[int]:
        """Append T fields of offsets, which are mostly zero, as sparse accessors that share three buffer views.

        One of the views holds zeros, for the rows that are not stored. The specification lets it be left out, but
        readers such as assimp refuse an accessor without a buffer view.

        Args:
            rows: Layout of the fields.
            values: (N, 3) float32, the stored rows of all fields, field by field.

        Returns:
            Index of the accessor of each field.
        """
        zeros = self._add_zeros(rows.height)
        accessors = [
            gl.Accessor(bufferView=zeros, componentType=gl.FLOAT, count=rows.height, type=gl.VEC3, byteOffset=None)
        ]
        accessors += [copy.copy(accessors[0]) for _ in rows.counts[1:]]
        for accessor, low, high in zip(accessors, *_bounds(rows, values), strict=True):
            accessor.min, accessor.max = low, high
        if len(values):
            indices = gl.AccessorSparseIndices(
                bufferView=self.add_bytes(rows.packed), componentType=_COMPONENTS[rows.dtype.name]
            )
            offsets = gl.AccessorSparseValues(bufferView=self.add_bytes(values.tobytes()))
            starts = np.cumsum(rows.counts) - rows.counts
            for k in np.flatnonzero(rows.counts):
                index_offset, value_offset = int(rows.packed_starts[k]), int(starts[k]) * _ROW_BYTES
                accessors[k].sparse = gl.Sparse(
                    count=int(rows.counts[k]),
                    indices=replace(indices, byteOffset=index_offset),
                    values=replace(offsets, byteOffset=value_offset),
                )
        return [self._append(accessor) for accessor in accessors]

    def _add_zeros(self, height: int) -> int:
        """Return the index of a buffer view with zeros (height, 3); there is one for each height."""
        if height not in self._zeros:
            self._zeros[height] = self.add_bytes(bytes(_ROW_BYTES * height), gl.ARRAY_BUFFER)
            self.views[-1].byteStride = _ROW_BYTES  # glTF requires it where several accessors share a view
        return self._zeros[height]

    def attach_to(self, document: gl.GLTF2) -> None:
        """Make this the only buffer of a document."""
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
    """Return the minimum and maximum of each field, implicit zeros included."""
    starts, nonempty = np.cumsum(rows.counts) - rows.counts, rows.counts > 0
    bounds = np.zeros((2, len(rows.counts), 3), dtype=np.float32)
    if nonempty.any():  # reduceat would return the next field's first row for an empty one
        bounds[0, nonempty] = np.minimum.reduceat(values, starts[nonempty])
        bounds[1, nonempty] = np.maximum.reduceat(values, starts[nonempty])
    partial = rows.counts < rows.height
    bounds[0, partial], bounds[1, partial] = bounds[0, partial].clip(max=0), bounds[1, partial].clip(min=0)
    return bounds[0].tolist(), bounds[1].tolist()


def _padded_bytes(index: np.ndarray) -> bytes:
    """Return the bytes of sparse indices, padded so that the indices that follow are aligned to 4 bytes."""
    return index.tobytes() + b"\0" * (-index.nbytes % 4)
