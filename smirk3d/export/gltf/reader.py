"""Reading of arrays and node transforms of a glTF document.

Source: glTF 2.0 specification, section 3.6 (accessors of all component types, sparse ones included).
"""

from __future__ import annotations

import base64
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pygltflib as gl
import roma
import torch

_TYPES = {
    gl.BYTE: "i1",
    gl.UNSIGNED_BYTE: "u1",
    gl.SHORT: "i2",
    gl.UNSIGNED_SHORT: "u2",
    gl.UNSIGNED_INT: "u4",
    gl.FLOAT: "f4",
}
_WIDTHS = {gl.SCALAR: 1, gl.VEC2: 2, gl.VEC3: 3, gl.VEC4: 4, gl.MAT4: 16}


class GltfArrays:
    """Access to the arrays of a document.

    Args:
        document: The parsed file.
        folder: Where its buffers in files of their own are; None for none.

    Raises:
        ValueError: A buffer is missing.
        OSError: A buffer's file cannot be read.
    """

    def __init__(self, document: gl.GLTF2, folder: Path | None):
        self.document = document
        self._buffers = [self._bytes(buffer, folder) for buffer in document.buffers]

    def _bytes(self, buffer: gl.Buffer, folder: Path | None) -> bytes:
        if buffer.uri is None:
            return self.document.binary_blob() or b""
        return uri_bytes(buffer.uri, folder)

    def view(self, index: int) -> tuple[memoryview, int | None]:
        """Return the bytes of a buffer view and its stride in bytes, None where rows are contiguous."""
        view = self.document.bufferViews[index]
        start = view.byteOffset or 0
        return memoryview(self._buffers[view.buffer])[start : start + view.byteLength], view.byteStride

    def array(self, index: int) -> np.ndarray:
        """Return an accessor as an array (count, width).

        Integers that are marked as normalised become float32 in [-1, 1]; other types stay as they are.
        """
        accessor = self.document.accessors[index]
        dtype, width = np.dtype("<" + _TYPES[accessor.componentType]), _WIDTHS[accessor.type]
        values = np.zeros((accessor.count, width), dtype=dtype)
        if accessor.bufferView is not None:
            values = self._dense(accessor.bufferView, accessor.byteOffset or 0, dtype, values.shape).copy()
        if accessor.sparse is not None:
            indices, stored = accessor.sparse.indices, accessor.sparse.values
            count, index_type = accessor.sparse.count, np.dtype("<" + _TYPES[indices.componentType])
            rows = self._dense(indices.bufferView, indices.byteOffset or 0, index_type, (count, 1))[:, 0]
            values[rows] = self._dense(stored.bufferView, stored.byteOffset or 0, dtype, (count, width))
        if accessor.normalized:
            return (values / np.float32(np.iinfo(dtype).max)).clip(-1).astype(np.float32)
        return values

    def _dense(self, view: int, offset: int, dtype: np.dtype, shape: tuple[int, int]) -> np.ndarray:
        data, stride = self.view(view)
        row_bytes = shape[1] * dtype.itemsize
        return np.ndarray(shape, dtype, data, offset, (stride or row_bytes, dtype.itemsize))


def node_matrix(node: gl.Node) -> np.ndarray:
    """Return the local transform (4, 4) float64 of a node."""
    if node.matrix:
        return np.array(node.matrix, dtype=np.float64).reshape(4, 4).T
    result = np.eye(4)
    result[:3, :3] = rotmats_from_quaternions(np.array([node.rotation or (0, 0, 0, 1)]))[0] * np.array(
        node.scale or (1, 1, 1)
    )
    result[:3, 3] = node.translation or (0, 0, 0)
    return result


def rotmats_from_quaternions(quaternion_xyzw: np.ndarray) -> np.ndarray:
    """Return rotation matrices (K, 3, 3) float64 of quaternions (K, 4) x, y, z, w of any length."""
    quaternion = torch.as_tensor(np.array(quaternion_xyzw, dtype=np.float64))
    return roma.unitquat_to_rotmat(quaternion / quaternion.norm(dim=1, keepdim=True)).numpy()


def uri_bytes(uri: str, folder: Path | None) -> bytes:
    """Return the contents of a data URI, or of a file in a folder.

    Raises:
        ValueError: The URI is empty, or names a file and there is no folder.
        OSError: The file cannot be read.
    """
    if uri.startswith("data:"):
        return base64.b64decode(uri.partition(",")[2])
    if folder is None or not uri:
        raise ValueError("a buffer or image is missing")
    return (folder / unquote(uri)).read_bytes()
