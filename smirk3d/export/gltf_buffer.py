"""The binary half of a glTF file: arrays become accessors of one buffer."""

from __future__ import annotations

import numpy as np
import pygltflib as gl

_TYPES = {1: gl.SCALAR, 2: gl.VEC2, 3: gl.VEC3, 4: gl.VEC4}
_COMPONENTS = {"uint16": gl.UNSIGNED_SHORT, "uint32": gl.UNSIGNED_INT, "float32": gl.FLOAT}


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
        self.views.append(
            gl.BufferView(buffer=0, byteOffset=self._length, byteLength=len(data), target=target)
        )
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

    def add_indices(self, triangles: np.ndarray) -> int:
        """Append triangle corners (K, 3) and return their accessor."""
        dtype = np.uint16 if triangles.max() < 0xFFFF else np.uint32
        values = np.ascontiguousarray(triangles.reshape(-1, 1), dtype=dtype)
        accessor = _accessor(values)
        accessor.bufferView = self.add_bytes(values.tobytes(), gl.ELEMENT_ARRAY_BUFFER)
        return self._append(accessor)

    def add_sparse(self, fields: list[np.ndarray], threshold: float) -> list[int]:
        """Append offsets (N, 3), most of them zero, as sparse accessors that share two buffer views.

        Args:
            fields: Arrays of any lengths.
            threshold: A row whose entries are all at most this far from zero is left out.

        Returns:
            The accessors' indices.
        """
        rows = [np.flatnonzero(np.abs(field).max(axis=1) > threshold) for field in fields]
        dtype = np.dtype(np.uint16 if max(len(field) for field in fields) < 0xFFFF else np.uint32)
        indices = [row.astype(dtype) for row in rows]
        values = [field[row].astype(np.float32) for field, row in zip(fields, rows, strict=True)]
        if not any(len(row) for row in rows):
            return [
                self._append(_accessor(np.zeros_like(field, dtype=np.float32), bounds=True))
                for field in fields
            ]
        index_view = self.add_bytes(b"".join(_padded(index) for index in indices))
        value_view = self.add_bytes(b"".join(value.tobytes() for value in values))
        accessors, index_offset, value_offset = [], 0, 0
        for field, index, value in zip(fields, indices, values, strict=True):
            kept = np.zeros(field.shape, dtype=np.float32)
            kept[index] = value
            accessor = _accessor(kept, bounds=True)
            if len(index):
                accessor.sparse = gl.Sparse(
                    count=len(index),
                    indices=gl.AccessorSparseIndices(
                        bufferView=index_view, byteOffset=index_offset, componentType=_COMPONENTS[dtype.name]
                    ),
                    values=gl.AccessorSparseValues(bufferView=value_view, byteOffset=value_offset),
                )
            accessors.append(self._append(accessor))
            index_offset += len(_padded(index))
            value_offset += value.nbytes
        return accessors

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


def _padded(index: np.ndarray) -> bytes:
    """Return the bytes of sparse indices filled up to a multiple of 4, so that the next ones are aligned."""
    return index.tobytes() + b"\0" * (-index.nbytes % 4)
