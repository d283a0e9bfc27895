"""Smooth displacement fields on a mesh that take given values at handles (biharmonic interpolation)."""

# The stubs of torch and SciPy leave some types unknown; everything else is checked strictly.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false, reportUnknownParameterType=false, reportMissingTypeArgument=false

from __future__ import annotations

import numpy as np
import scipy  # whose parts are loaded at their first use
import torch
from torch import Tensor

HANDLE_WEIGHT = 1e4
"""Weight of the handles against the bending energy; large, so that they are met closely."""
EPSILON = 1e-9
"""Keeps the system regular on parts of the mesh without a handle."""


class SmoothField:
    """Fields that vanish outside a region and bend as little as possible inside it.

    Args:
        vertices: (V, 3) metres.
        faces: (F, 3) int64.
        free: (V,) bool mask of the vertices that may move.

    Source: Botsch and Kobbelt, "An intuitive framework for real-time freeform modeling", 2004 (biharmonic surfaces).
    """

    def __init__(self, vertices: Tensor, faces: Tensor, free: Tensor) -> None:
        self._count = len(vertices)
        self._free = np.flatnonzero(free.numpy())
        self._laplacian = _laplacian(vertices.numpy().astype(np.float64), faces.numpy())
        # Vertices outside are fixed, so only the columns of the free ones remain.
        self._columns = self._laplacian[:, self._free]
        self._energy = (self._columns.T @ self._columns + EPSILON * scipy.sparse.eye(len(self._free))).tocsc()

    def solve(self, handles: Tensor, values: Tensor) -> Tensor:
        """Return fields of one component.

        Args:
            handles: (H, V) matrix that maps vertex values to those of the handles.
            values: (H, A) values of A fields at the handles.

        Returns:
            (V, A) values at the vertices, in the unit of `values`.
        """
        matrix = scipy.sparse.csr_matrix(handles.numpy().astype(np.float64)[:, self._free])
        system = (self._energy + HANDLE_WEIGHT * (matrix.T @ matrix)).tocsc()
        solution = scipy.sparse.linalg.splu(system).solve(
            HANDLE_WEIGHT * (matrix.T @ values.numpy().astype(np.float64))
        )
        field = np.zeros((self._count, values.shape[1]), dtype=np.float32)
        field[self._free] = solution
        return torch.from_numpy(field)

    def fair(self, field: Tensor, stiffness: float) -> Tensor:
        """Return a field with less bending inside the region: least squares of its change and of its Laplacian.

        Args:
            field: (V, A) values of A fields at the vertices; those outside the region stay.
            stiffness: Weight of the Laplacian against the change; 0 leaves the field as it is, 100 removes folds
                that are some two edges wide.

        Returns:
            (V, A) values, in the unit of `field`.
        """
        values = field.numpy().astype(np.float64)
        bending = self._columns.T @ (self._laplacian @ values)
        system = (scipy.sparse.eye(len(self._free)) + stiffness * (self._columns.T @ self._columns)).tocsc()
        values[self._free] -= scipy.sparse.linalg.splu(system).solve(stiffness * bending)
        return torch.from_numpy(values.astype(np.float32))


def _laplacian(vertices: np.ndarray, faces: np.ndarray) -> scipy.sparse.csr_matrix:
    """Return the graph Laplacian (V, V), each row normalised, with weights inverse to the lengths of the edges."""
    edges = np.unique(np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1), axis=0)
    length = np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1)
    weight = 1 / np.maximum(length, 1e-4)
    size = (len(vertices), len(vertices))
    adjacency = scipy.sparse.coo_matrix((weight, (edges[:, 0], edges[:, 1])), shape=size).tocsr()
    adjacency = adjacency + adjacency.T
    degree = np.maximum(np.asarray(adjacency.sum(1)).ravel(), 1e-12)
    return (scipy.sparse.eye(len(vertices)) - scipy.sparse.diags(1 / degree) @ adjacency).tocsr()
