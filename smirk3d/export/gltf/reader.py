"""Reading of arrays and node transforms of a glTF document; sizes are checked before arrays are made.

Source: glTF 2.0 specification, section 3.6 (accessors of all component types, sparse ones included).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import roma
import torch

from smirk3d.export.gltf.resources import Resources

Json = dict[str, Any]
MAX_ROWS = 4_000_000
"""Rows of an accessor without data of its own, whose zeros take memory all the same."""
_FLOAT = 5126
_TYPES = {5120: "i1", 5121: "u1", 5122: "i2", 5123: "u2", 5125: "u4", _FLOAT: "f4"}
_INDEX_TYPES = {5121: "u1", 5123: "u2", 5125: "u4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}


class GltfArrays:
    """Access to the arrays of a document.

    Args:
        document: JSON of the file.
        blob: Binary chunk of the file.
        folder: Where its buffers in files of their own are; None for none.

    Attributes:
        document: JSON of the file.
        resources: Where its images in files of their own are.

    Raises:
        ValueError: A buffer is missing or shorter than stated.
    """

    def __init__(self, document: Json, blob: bytes, folder: Path | None):
        self.document, self.resources = document, Resources(folder)
        self._buffers = [self._bytes(index, buffer, blob) for index, buffer in enumerate(document.get("buffers", []))]

    def _bytes(self, index: int, buffer: Json, blob: bytes) -> bytes:
        content = blob if buffer.get("uri") is None else self.resources.read(buffer["uri"])
        if len(content) < _integer(buffer, "byteLength"):
            raise ValueError(f"its buffer {index} is shorter than its stated length")
        return content

    def view(self, index: int) -> tuple[memoryview, int | None]:
        """Return the bytes of a buffer view and its stride in bytes, None where rows are contiguous.

        Raises:
            ValueError: It is not within its buffer.
        """
        view = item(self.document, "bufferViews", index)
        buffer_index = _integer(view, "buffer")
        if buffer_index >= len(self._buffers):
            raise ValueError(f"its buffer view {index} is in no buffer")
        start, length = _integer(view, "byteOffset", 0), _integer(view, "byteLength")
        if start + length > len(self._buffers[buffer_index]):
            raise ValueError(f"its buffer view {index} is larger than its buffer")
        return memoryview(self._buffers[buffer_index])[start : start + length], view.get("byteStride")

    def count(self, index: int) -> int:
        """Return the number of rows of an accessor, without reading it."""
        return _integer(item(self.document, "accessors", index), "count")

    def array(self, index: int) -> np.ndarray:
        """Return an accessor as an array (count, width).

        Integers that are marked as normalised become float32 in [-1, 1]; other types stay as they are.

        Raises:
            ValueError: It is larger than its data or `MAX_ROWS`, or holds numbers that are not finite.
        """
        accessor = item(self.document, "accessors", index)
        try:
            dtype, width = np.dtype("<" + _TYPES[accessor["componentType"]]), _WIDTHS[accessor["type"]]
        except (KeyError, TypeError) as error:
            raise ValueError(f"its accessor {index} is of an unknown type") from error
        values = self._values(accessor, dtype, (_integer(accessor, "count"), width), index)
        if accessor.get("normalized") and dtype.kind != "f":
            return (values / np.float32(np.iinfo(dtype).max)).clip(-1).astype(np.float32)
        if dtype.kind == "f" and not np.isfinite(values).all():
            raise ValueError(f"its accessor {index} holds numbers that are not finite")
        return values

    def _values(self, accessor: Json, dtype: np.dtype, shape: tuple[int, int], index: int) -> np.ndarray:
        sparse = accessor.get("sparse")
        if accessor.get("bufferView") is not None:
            dense = self._dense(accessor, dtype, shape, index)
            values = dense.copy() if sparse is not None else dense
        elif shape[0] > MAX_ROWS:
            raise ValueError(f"its accessor {index} has {shape[0]} rows, at most {MAX_ROWS} are read")
        else:
            values = np.zeros(shape, dtype=dtype)
        if sparse is not None:
            count, index_type = _integer(sparse, "count"), _INDEX_TYPES.get(sparse["indices"]["componentType"])
            if index_type is None or count > shape[0]:
                raise ValueError(f"its accessor {index} has sparse rows of an unknown type or too many of them")
            rows = self._dense(sparse["indices"], np.dtype("<" + index_type), (count, 1), index)[:, 0]
            values[rows] = self._dense(sparse["values"], dtype, (count, shape[1]), index)
        return values

    def _dense(self, place: Json, dtype: np.dtype, shape: tuple[int, int], index: int) -> np.ndarray:
        """Return rows of a buffer view without a copy; `place` has its index and an offset."""
        data, stride = self.view(_integer(place, "bufferView"))
        offset, row_bytes = _integer(place, "byteOffset", 0), shape[1] * dtype.itemsize
        step = row_bytes if stride is None else stride
        if not shape[0] or offset + step * (shape[0] - 1) + row_bytes > len(data) or step < row_bytes:
            raise ValueError(f"its accessor {index} has {shape[0]} rows, which are not in its buffer view")
        return np.ndarray(shape, dtype, data, offset, (step, dtype.itemsize))


def item(document: Json, name: str, index: int) -> Json:
    """Return an item of one of the lists of a document.

    Raises:
        ValueError: There is none with this index.
    """
    items = document.get(name, [])
    if type(index) is not int or not 0 <= index < len(items):
        raise ValueError(f"it refers to {name}[{str(index)[:20]}], which it does not have")
    return items[index]


def _integer(record: Json, name: str, default: int | None = None) -> int:
    value = record.get(name, default)
    if type(value) is not int or value < 0:
        raise ValueError(f"its {name} {str(value)[:20]} is no size")
    return value


def node_matrix(node: Json) -> np.ndarray:
    """Return the local transform (4, 4) float64 of a node.

    Raises:
        ValueError: It is not finite or has another number of values.
    """
    if node.get("matrix"):
        result = np.array(node["matrix"], dtype=np.float64).reshape(4, 4).T
    else:
        result = np.eye(4)
        rotation = rotmats_from_quaternions(np.array([node.get("rotation") or (0, 0, 0, 1)]))[0]
        result[:3, :3] = rotation * _vector(node.get("scale") or (1, 1, 1))
        result[:3, 3] = _vector(node.get("translation") or (0, 0, 0))
    if not np.isfinite(result).all():
        raise ValueError("the transform of one of its nodes is not finite")
    return result


def _vector(values: Sequence[float]) -> np.ndarray:
    return np.array(values, dtype=np.float64).reshape(3)


def rotmats_from_quaternions(quaternion_xyzw: np.ndarray) -> np.ndarray:
    """Return rotation matrices (K, 3, 3) float64 of quaternions (K, 4) x, y, z, w of any length but 0.

    Raises:
        ValueError: One has the length 0 or is not finite.
    """
    quaternion = torch.as_tensor(np.array(quaternion_xyzw, dtype=np.float64))
    if quaternion.ndim != 2 or quaternion.shape[1] != 4:
        raise ValueError("one of its rotations is no quaternion")
    length = quaternion.norm(dim=1, keepdim=True)
    if not bool(((length > 0) & length.isfinite()).all()):
        raise ValueError("one of its rotations is no quaternion")
    return roma.unitquat_to_rotmat(quaternion / length).numpy()
