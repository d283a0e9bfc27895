"""The vertices that each morph target moves, mostly a small part of the head, and the changes of their normals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from smirk3d.export.gltf.morph_targets import has_residual_target, moved_vertices
from smirk3d.head.memoize import cache_per_head
from smirk3d.head.model import HeadModel


@dataclass(frozen=True)
class MorphPattern:
    """The vertices and triangles of a head that T targets change; the same for all people.

    Attributes:
        moved: (T, V) bool, vertices with an offset.
        normal_changed: (T, V) bool, vertices whose normal can change: the corners of triangles with a moved vertex.
        row: (M,) int64, target * V + vertex of all entries of `normal_changed` that are true.
        corner: (K, 3) int64 indices into `row`: the corners of the changed triangles, target by target.
        face: (K,) int64 indices of the changed triangles among all triangles.
    """

    moved: np.ndarray
    normal_changed: np.ndarray
    row: Tensor
    corner: Tensor
    face: Tensor


@cache_per_head
def morph_pattern(head: HeadModel) -> MorphPattern:
    """Return the pattern of the targets of `morph_targets`."""
    moved, faces = moved_vertices(head), head.faces.cpu()
    if has_residual_target(head):
        moved = np.concatenate([moved, np.ones_like(moved[:1])])
    target, face = np.nonzero(moved[:, faces.numpy()].any(axis=2))
    corners = target[:, None] * moved.shape[1] + faces.numpy()[face]
    row, corner = (torch.from_numpy(a) for a in np.unique(corners, return_inverse=True))
    normal_changed = np.zeros_like(moved)
    normal_changed.flat[row.numpy()] = True
    return MorphPattern(moved, normal_changed, row, corner.reshape(-1, 3), torch.from_numpy(face))


def normal_offsets(
    neutral: np.ndarray, triangles: np.ndarray, offsets: np.ndarray, pattern: MorphPattern
) -> tuple[np.ndarray, np.ndarray]:
    """Return the unit normals of a neutral head and the change of each by each target at weight 1.

    Only the changed triangles are computed. A vertex normal is the normalised sum of the normals of the triangles
    around it, weighted by their areas, as in `vertex_normals`.

    Args:
        neutral: (V, 3) float32 metres.
        triangles: (F, 3) integers.
        offsets: (T, V, 3) float32 metres.
        pattern: Pattern of the head.

    Returns:
        (V, 3) float32 unit normals and (T, V, 3) float32 differences.
    """
    points, faces = torch.from_numpy(neutral), torch.from_numpy(triangles.astype(np.int64))
    moves = torch.from_numpy(offsets).reshape(-1, 3)
    sums = _face_normals(points, faces)
    total = torch.zeros_like(points).index_add_(0, faces.T.reshape(-1), sums.repeat(3, 1))
    normals = functional.normalize(total, dim=1, eps=torch.finfo(total.dtype).tiny)
    vertex = pattern.row % len(points)
    moved = points.index_select(0, vertex) + moves.index_select(0, pattern.row)
    change = _face_normals(moved, pattern.corner) - sums.index_select(0, pattern.face)
    # The sums of the neutral head, corrected by the changed triangles alone.
    sums_at_rows = total.index_select(0, vertex)
    for column in pattern.corner.unbind(dim=1):
        sums_at_rows.index_add_(0, column, change)
    changed = functional.normalize(sums_at_rows, dim=1, eps=torch.finfo(total.dtype).tiny)
    result = torch.zeros_like(moves)
    result[pattern.row] = changed - normals.index_select(0, vertex)
    return normals.numpy(), result.reshape(offsets.shape).numpy()


def _face_normals(points: Tensor, faces: Tensor) -> Tensor:
    """Return the normals (K, 3) of triangles, with lengths of twice their areas."""
    corners = points.index_select(0, faces.reshape(-1)).reshape(-1, 3, 3)
    a, b, c = corners.unbind(dim=1)
    return torch.linalg.cross(b - a, c - a)
