"""Which vertices each morph target moves, and how normals follow; most move a small part of a head."""

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
    """What T targets change of a head with V vertices, the same for all people.

    Attributes:
        moved: (T, V) bool, vertices with an offset.
        turned: (T, V) bool, vertices whose normal can change: the corners of triangles with a moved vertex.
        row: (M,) int64, target * V + vertex, each corner of a triangle that a target changes, once.
        corner: (K, 3) int64 rows of `row`, the changed triangles, target by target.
        face: (K,) int64, which triangles these are.
    """

    moved: np.ndarray
    turned: np.ndarray
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
    turned = np.zeros_like(moved)
    turned.flat[row.numpy()] = True
    return MorphPattern(moved, turned, row, corner.reshape(-1, 3), torch.from_numpy(face))


def normal_offsets(
    neutral: np.ndarray, triangles: np.ndarray, offsets: np.ndarray, pattern: MorphPattern
) -> tuple[np.ndarray, np.ndarray]:
    """Return the unit normals of a neutral head and what each target adds to them at weight 1.

    Only the changed triangles are looked at: a vertex normal is the sum of the normals of the triangles
    around it, weighted by their areas, as in `vertex_normals`.

    Args:
        neutral: (V, 3) float32 metres. triangles: (F, 3) integers.
        offsets: (T, V, 3) float32 metres.
        pattern: Of the head.

    Returns:
        (V, 3) and (T, V, 3) float32.
    """
    points, faces = torch.from_numpy(neutral), torch.from_numpy(triangles.astype(np.int64))
    moves = torch.from_numpy(offsets).reshape(-1, 3)
    sums = _face_normals(points, faces)
    total = torch.zeros_like(points).index_add_(0, faces.T.reshape(-1), sums.repeat(3, 1))
    normals = functional.normalize(total, dim=1, eps=torch.finfo(total.dtype).tiny)
    vertex = pattern.row % len(points)
    moved = points.index_select(0, vertex) + moves.index_select(0, pattern.row)
    change = _face_normals(moved, pattern.corner) - sums.index_select(0, pattern.face)
    turned = total.index_select(0, vertex)
    for column in pattern.corner.unbind(dim=1):
        turned.index_add_(0, column, change)
    turned = functional.normalize(turned, dim=1, eps=torch.finfo(total.dtype).tiny)
    result = torch.zeros_like(moves)
    result[pattern.row] = turned - normals.index_select(0, vertex)
    return normals.numpy(), result.reshape(offsets.shape).numpy()


def _face_normals(points: Tensor, faces: Tensor) -> Tensor:
    """Return the normals (K, 3) of triangles, as long as twice their areas."""
    corners = points.index_select(0, faces.reshape(-1)).reshape(-1, 3, 3)
    a, b, c = corners.unbind(dim=1)
    return torch.linalg.cross(b - a, c - a)
