"""Another tessellation of the open head's surface, with as many vertices and triangles as FLAME has.

Teeth, tongue and the depth of the mouth are cut away; new vertices are put inside triangles, all are moved
about on the surface, edges are flipped where that gives better triangles, part of the neck is closed, and the
numbering is shuffled. Every vertex stays exactly on a triangle of the open head, which `Tessellation` records.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.spatial import KDTree

from smirk3d.head.data import HeadData

VERTEX_COUNT, FACE_COUNT = 5023, 9976
MOUTH_RINGS = 3
"""Rings of vertices that stay behind the lips."""
SHARP_COSINE = 0.64
"""Triangles whose normals differ by more than 50 degrees meet in an edge that must keep its place."""
FLAT_COSINE = 0.94
"""Edges are flipped only between triangles whose normals differ by less than 20 degrees."""
REACH = 0.45
"""Largest share of the way to a random point of a neighbouring triangle that a vertex is moved."""


@dataclass(frozen=True)
class Tessellation:
    """A triangle mesh drawn on the surface of the open head.

    Attributes:
        faces: (F, 3) int64, counter-clockwise seen from outside.
        open_face_index: (V,) int64 triangle of the open head that each vertex lies on.
        open_barycentric: (V, 3) float64 weights of that triangle's corners, sum 1.
        neck_ring: (N,) int64 vertices of the open end of the neck.
    """

    faces: np.ndarray
    open_face_index: np.ndarray
    open_barycentric: np.ndarray
    neck_ring: np.ndarray

    def carrier(self, open_faces: np.ndarray, open_vertex_count: int) -> sparse.csr_matrix:
        """Return the matrix (V, open V) that carries values at the open head's vertices over."""
        rows = np.arange(len(self.open_face_index)).repeat(3)
        columns = open_faces[self.open_face_index].ravel()
        shape = (len(self.open_face_index), open_vertex_count)
        return sparse.csr_matrix((self.open_barycentric.ravel(), (rows, columns)), shape)


def tessellate(head: HeadData, rng: np.random.Generator) -> Tessellation:
    """Return a random mesh of `VERTEX_COUNT` vertices and `FACE_COUNT` triangles on the open head."""
    rest, open_faces = head.v_template.double().numpy(), head.faces.numpy()
    kept = _kept_faces(head)
    points = _Points.at_corners(open_faces, kept, rest, rng)
    faces, points = _insert(points.renumber(open_faces[kept]), points, kept, rest[open_faces[kept]], rng)
    barycentric = _settle(points, faces, rest[open_faces[points.face_index]])
    vertices = np.einsum("vk,vkc->vc", barycentric, rest[open_faces[points.face_index]])
    faces = _close_neck(_improve(faces, vertices, points.fixed_edges, rng), vertices)
    order = rng.permutation(VERTEX_COUNT)
    position = np.argsort(order)
    faces = position[rng.permutation(faces)]
    ring = boundary_loops(faces)
    lowest = min(ring, key=lambda loop: vertices[order[loop], 1].mean())
    return Tessellation(faces, points.face_index[order], barycentric[order], np.array(lowest))


def normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return the normals (F, 3) of triangles, as long as twice their area."""
    a, b, c = vertices[faces].transpose(1, 0, 2)
    return np.cross(b - a, c - a)


def directed_edges(faces: np.ndarray) -> np.ndarray:
    """Return (3 F, 2) the edges 01, 12, 20 of each triangle, in this order."""
    return faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)


def boundary_loops(faces: np.ndarray) -> list[list[int]]:
    """Return the closed chains of edges that have a triangle on one side only."""
    edges = set(map(tuple, directed_edges(faces).tolist()))
    following = {a: b for a, b in sorted(edges) if (b, a) not in edges}
    loops = []
    while following:
        loop = [next(iter(following))]
        while loop[-1] in following:
            loop.append(following.pop(loop[-1]))
        loops.append(loop[:-1])
    return loops


def _kept_faces(head: HeadData) -> np.ndarray:
    """Return the indices of the triangles that FLAME has something like: no teeth, tongue or throat."""
    faces = head.faces.numpy()
    region = {name: mask.numpy() for name, mask in head.regions.items()}
    loose = region["tongue"] | region["lower_teeth"] | region["upper_teeth"]
    depth = np.where(region["mouth_interior"] & ~region["face"], np.inf, 0.0)
    for _ in range(MOUTH_RINGS):
        nearest = np.full(len(depth), np.inf)
        np.minimum.at(nearest, faces.ravel(), depth[faces].min(1).repeat(3))
        depth = np.minimum(depth, nearest + 1)
    return np.flatnonzero(~loose[faces].any(1) & np.isfinite(depth[faces]).all(1))


@dataclass(frozen=True)
class _Points:
    """Points on the open head: where each lies, and where within its triangle it may move.

    Attributes:
        vertex: (V,) open vertex, -1 for a point that is none. face_index: (V,) open triangle.
        base: (V, 3) barycentric. target: (V, 3) barycentric end of the way that it may go.
        reach: (V,) share of the way to go. fixed_edges: pairs of points whose edge must stay.
    """

    vertex: np.ndarray
    face_index: np.ndarray
    base: np.ndarray
    target: np.ndarray
    reach: np.ndarray
    fixed_edges: frozenset[tuple[int, int]]

    @staticmethod
    def at_corners(faces: np.ndarray, kept: np.ndarray, rest: np.ndarray, rng: np.random.Generator) -> _Points:
        """Return the vertices of the kept triangles; those on sharp edges move along these only."""
        corner = rng.permutation(3 * len(kept))
        vertex, first = np.unique(faces[kept].ravel()[corner], return_index=True)
        face_index, base = kept[corner[first] // 3], np.eye(3)[corner[first] % 3]
        target = rng.dirichlet((1, 1, 1), len(vertex))
        row, start, end = _sharp_edges(faces[kept], rest)
        position = np.searchsorted(vertex, faces[kept])
        tails, heads = position[row, start], position[row, end]
        chains = np.bincount(np.concatenate([tails, heads]), minlength=len(vertex))
        face_index[tails], base[tails], target[tails] = kept[row], np.eye(3)[start], np.eye(3)[end]
        face_index[heads], base[heads], target[heads] = kept[row], np.eye(3)[end], np.eye(3)[start]
        reach = np.where(np.isin(chains, (0, 2)), REACH * rng.random(len(vertex)), 0.0)
        fixed = frozenset(zip(np.minimum(tails, heads).tolist(), np.maximum(tails, heads).tolist()))
        return _Points(vertex, face_index, base, target, reach, fixed)

    def renumber(self, faces: np.ndarray) -> np.ndarray:
        """Return triangles of open vertices as triangles of these points."""
        return np.searchsorted(self.vertex, faces)


def _sharp_edges(faces: np.ndarray, vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return sharp and boundary edges, each once: row of `faces`, and which of its corners start and end it."""
    normal = normals(vertices, faces)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    edges = np.sort(directed_edges(faces), axis=1)
    _, first, inverse, count = np.unique(edges, axis=0, return_index=True, return_inverse=True, return_counts=True)
    total = np.zeros((len(first), 3))
    np.add.at(total, inverse.ravel(), normal.repeat(3, axis=0))
    # |n1 + n2|^2 = 2 + 2 cos
    sharp = (count == 1) | ((total**2).sum(1) < 2 + 2 * SHARP_COSINE)
    row, corner = np.divmod(first[sharp], 3)
    return row, corner, (corner + 1) % 3


def _insert(
    faces: np.ndarray, points: _Points, kept: np.ndarray, corners: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, _Points]:
    """Put a point into some triangles, larger ones more often, so that there are `VERTEX_COUNT` points."""
    count = VERTEX_COUNT - len(points.vertex)
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    split = rng.choice(len(faces), count, replace=False, p=area / area.sum())
    middle = np.arange(len(points.vertex), VERTEX_COUNT)
    a, b, c = faces[split].T
    fans = [np.stack(fan, axis=1) for fan in ((a, b, middle), (b, c, middle), (c, a, middle))]
    grown = _Points(
        np.concatenate([points.vertex, np.full(count, -1)]),
        np.concatenate([points.face_index, kept[split]]),
        np.concatenate([points.base, np.full((count, 3), 1 / 3)]),
        np.concatenate([points.target, rng.dirichlet((1, 1, 1), count)]),
        np.concatenate([points.reach, REACH * rng.random(count)]),
        points.fixed_edges,
    )
    return np.concatenate([np.delete(faces, split, axis=0), *fans]), grown


def _settle(points: _Points, faces: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Return barycentric coordinates (V, 3) after moving the points as far as no triangle turns or collapses."""
    reach = points.reach.copy()
    before = normals(np.einsum("vk,vkc->vc", points.base, corners), faces)
    area = np.linalg.norm(before, axis=1)
    while True:
        barycentric = points.base + reach[:, None] * (points.target - points.base)
        after = normals(np.einsum("vk,vkc->vc", barycentric, corners), faces)
        turned = (before * after).sum(1) < 0.7 * area * np.linalg.norm(after, axis=1)
        collapsed = np.linalg.norm(after, axis=1) < 0.3 * area
        bad = np.unique(faces[turned | collapsed])
        if not reach[bad].any():
            return barycentric
        reach[bad] = np.where(reach[bad] > 0.02, reach[bad] / 2, 0.0)


def _improve(
    faces: np.ndarray,
    vertices: np.ndarray,
    fixed: frozenset[tuple[int, int]],
    rng: np.random.Generator,
    rounds: int = 4,
) -> np.ndarray:
    """Flip flat edges whose opposite angles add up to more than 180 degrees, as a Delaunay mesh has none."""
    faces = faces.copy()
    for _ in range(rounds):
        edges = directed_edges(faces)
        row_of = {edge: index // 3 for index, edge in enumerate(map(tuple, edges.tolist()))}
        pairs = [(row_of[a, b], row_of[b, a], a, b) for a, b in row_of if a < b and (b, a) in row_of]
        pairs = np.array([pair for pair in pairs if pair[2:] not in fixed])
        a, b = pairs[:, 2:].T
        c, d = (faces[pairs[:, :2]].sum(-1) - (a + b)[:, None]).T
        flipped = np.stack([np.stack([c, d, b], axis=1), np.stack([d, c, a], axis=1)], axis=1)
        better = _better(vertices, faces[pairs[:, :2]], flipped, np.stack([c, d, a, b], axis=1))
        touched: set[int] = set()
        for at in rng.permutation(np.flatnonzero(better)).tolist():
            one, two = pairs[at, :2].tolist()
            ends = tuple(flipped[at, 0, :2].tolist())
            if not {one, two} & touched and ends not in row_of and ends[::-1] not in row_of:
                faces[[one, two]] = flipped[at]
                touched |= {one, two}
                row_of[ends] = one
    return faces


def _better(vertices: np.ndarray, old: np.ndarray, new: np.ndarray, quad: np.ndarray) -> np.ndarray:
    """Tell (K,) which flips of the edges between the last two of `quad` (K, 4) make rounder triangles in place.

    `old` and `new` (K, 2, 3) are the triangles before and after.
    """
    unit = []
    for faces in (old, new):
        normal = normals(vertices, faces.reshape(-1, 3)).reshape(-1, 2, 3)
        unit.append(normal / np.linalg.norm(normal, axis=2, keepdims=True).clip(1e-12))
    flat = np.einsum("kc,kc->k", unit[0][:, 0], unit[0][:, 1]) > FLAT_COSINE
    same = np.einsum("kic,kjc->kij", unit[0], unit[1]).min((1, 2)) > FLAT_COSINE
    c, d, a, b = vertices[quad].transpose(1, 0, 2)
    opposite = _angle(a - c, b - c) + _angle(a - d, b - d)
    return flat & same & (opposite > np.pi + 1e-3)


def _angle(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    return np.arctan2(np.linalg.norm(np.cross(one, two), axis=1), (one * two).sum(1))


def _close_neck(faces: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Cut corners off the open end of the neck, one triangle each, until there are `FACE_COUNT`."""
    loop = min(boundary_loops(faces), key=lambda loop: vertices[loop, 1].mean())
    ears, at = [], 0
    for _ in range(FACE_COUNT - len(faces)):
        at = (at + 1) % len(loop)
        before, after = loop[at - 1], loop[(at + 1) % len(loop)]
        ears.append((after, loop[at], before))
        del loop[at]
    return np.concatenate([faces, np.array(ears, dtype=faces.dtype).reshape(-1, 3)])


def nearest_points(
    vertices: np.ndarray, faces: np.ndarray, points: np.ndarray, facing: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return triangles (N,) and barycentric (N, 3) of the surface points nearest to `points` (N, 3).

    A surface that does not face along the unit vectors `facing` (N, 3) counts as farther away, so that a point
    on one lip stays there where the other touches it.
    """
    normal = normals(vertices, faces)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    _, near = KDTree(vertices[faces].mean(1)).query(points, k=40)
    barycentric = _barycentric(vertices[faces[near]], points[:, None]).clip(0)
    barycentric /= barycentric.sum(-1, keepdims=True)
    distance = np.linalg.norm(np.einsum("nkc,nkcx->nkx", barycentric, vertices[faces[near]]) - points[:, None], axis=-1)
    turned = 1 - np.einsum("nkx,nx->nk", normal[near], facing)
    best = (distance + 0.004 * turned).argmin(1)[:, None]
    return np.take_along_axis(near, best, 1)[:, 0], np.take_along_axis(barycentric, best[..., None], 1)[:, 0]


def front_points(vertices: np.ndarray, faces: np.ndarray, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return triangles (N,), -1 beside the surface, and barycentric (N, 3) of the foremost surface at `xy` (N, 2)."""
    frontal = np.flatnonzero(normals(vertices, faces)[:, 2] > 0)
    flat = (vertices * (1, 1, 0))[faces[frontal]]
    _, near = KDTree(flat.mean(1)[:, :2]).query(xy, k=100)
    barycentric = _barycentric(flat[near], np.column_stack([xy, np.zeros(len(xy))])[:, None])
    depth = np.einsum("nkc,nkc->nk", barycentric, vertices[faces[frontal[near]], 2])
    depth[(barycentric < 0).any(-1)] = -np.inf
    best = depth.argmax(1)[:, None]
    index = frontal[np.take_along_axis(near, best, 1)[:, 0]]
    index[np.isinf(depth.max(1))] = -1
    return index, np.take_along_axis(barycentric, best[..., None], 1)[:, 0]


def _barycentric(corners: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return barycentric coordinates (..., 3) of `points` (..., 3) dropped onto the planes of `corners` (..., 3, 3)."""
    u, v = corners[..., 1, :] - corners[..., 0, :], corners[..., 2, :] - corners[..., 0, :]
    w = points - corners[..., 0, :]
    uu, uv, vv = (u * u).sum(-1), (u * v).sum(-1), (v * v).sum(-1)
    wu, wv = (w * u).sum(-1), (w * v).sum(-1)
    scale = np.maximum(uu * vv - uv**2, 1e-30)
    b, c = (vv * wu - uv * wv) / scale, (uu * wv - uv * wu) / scale
    return np.stack([1 - b - c, b, c], axis=-1)
