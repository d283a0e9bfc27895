"""Coloured surfaces cut into patches of one colour each, for a viewer that knows one colour a mesh."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

COLOR_STEP = 0.1
"""How far a vertex may be from the colour of its patch, in sRGB."""
MOST_COLORS = 12
"""Surfaces with more colours than this, such as photos on skin, get their mean colour."""
_CURVATURE = 0.75
"""How far new points go towards the curved surface; Phong tessellation's usual value."""


@dataclass(frozen=True, eq=False)
class Surface:
    """Triangles of one material with T morph targets.

    Attributes:
        name: Of the material.
        points: (N, 3) float32 metres. normals: (N, 3) float32 unit vectors.
        moves: (T, N, 3) float32, what each target adds to the points. turns: (T, N, 3) the same for the normals.
        colors: (N, 3) float32 sRGB in [0, 1].
        triangles: (F, 3) int64.
    """

    name: str
    points: np.ndarray
    normals: np.ndarray
    moves: np.ndarray
    turns: np.ndarray
    colors: np.ndarray
    triangles: np.ndarray

    def rows(self, index: np.ndarray) -> Surface:
        """Return the surface with other vertices: the rows `index` (M,) of this one; triangles are kept."""
        each, all_targets = ("points", "normals", "colors"), ("moves", "turns")
        taken = {name: getattr(self, name)[index] for name in each}
        return replace(self, **taken, **{name: getattr(self, name)[:, index] for name in all_targets})


@dataclass(frozen=True, eq=False)
class Patch:
    """A part of a mesh in one colour.

    Attributes:
        name: For people.
        color: (r, g, b) sRGB in [0, 255].
        rows: (M,) int64 rows of the scene's vertices.
        triangles: (K, 3) int64 rows of `rows`.
    """

    name: str
    color: tuple[int, int, int]
    rows: np.ndarray
    triangles: np.ndarray


def welded(surface: Surface) -> Surface:
    """Join vertices that are at the same place with every expression: seams of textures would be seen in the light."""
    n = len(surface.points)
    table = np.concatenate([surface.points, surface.moves.transpose(1, 0, 2).reshape(n, -1)], axis=1)
    keys = np.ascontiguousarray(table + np.float32(0)).view(np.dtype((np.void, table.shape[1] * table.itemsize)))
    _, first, inverse = np.unique(keys.ravel(), return_index=True, return_inverse=True)
    return replace(surface.rows(first), triangles=inverse.reshape(-1)[surface.triangles])


def tessellated(surface: Surface) -> Surface:
    """Cut each triangle into four, the new points on a surface that is curved as the normals say.

    Targets stay what they are at weight 1. The colours of new points are the mean of their neighbours'.
    Source: Boubekeur and Alexa, Phong Tessellation, 2008.
    """
    edges, triangles = _halved(surface.triangles, len(surface.points))
    a, b = edges.T
    points, normals = _between(surface.points[a], surface.points[b], surface.normals[a], surface.normals[b])
    full, full_normals = surface.points + surface.moves, surface.normals + surface.turns
    moved, turned = _between(full[:, a], full[:, b], full_normals[:, a], full_normals[:, b])
    still = ~(np.any(surface.moves[:, a] != 0, axis=2) | np.any(surface.moves[:, b] != 0, axis=2))
    moves, turns = moved - points, turned - normals
    moves[still], turns[still] = 0, 0
    return Surface(
        surface.name,
        np.concatenate([surface.points, points]),
        np.concatenate([surface.normals, normals]),
        np.concatenate([surface.moves, moves], axis=1),
        np.concatenate([surface.turns, turns], axis=1),
        np.concatenate([surface.colors, (surface.colors[a] + surface.colors[b]) / 2]),
        triangles,
    )


def _halved(triangles: np.ndarray, n_points: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the edges (E, 2), whose middles are the new points, and four triangles for each."""
    corners = np.stack([triangles, np.roll(triangles, -1, axis=1)], axis=2).reshape(-1, 2)
    edges, inverse = np.unique(np.sort(corners, axis=1), axis=0, return_inverse=True)
    ab, bc, ca = (inverse.reshape(-1, 3) + n_points).T
    a, b, c = triangles.T
    four = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    return edges, np.concatenate([np.stack(corner, axis=1) for corner in four])


def _between(p: np.ndarray, q: np.ndarray, n: np.ndarray, m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return middles (..., 3) of edges from p to q with normals n and m, and the normals there."""
    middle = (p + q) / 2
    onto = [middle - np.sum((middle - x) * normal, axis=-1, keepdims=True) * normal for x, normal in ((p, n), (q, m))]
    normal = n + m
    length = np.linalg.norm(normal, axis=-1, keepdims=True).clip(1e-9)
    curved = (1 - _CURVATURE) * middle + _CURVATURE * (onto[0] + onto[1]) / 2
    return curved.astype(np.float32), (normal / length).astype(np.float32)


def cut_by_color(surface: Surface) -> tuple[Surface, list[tuple[tuple[int, int, int], np.ndarray]]]:
    """Cut the triangles along lines between colours.

    Returns:
        The surface with the vertices of the cuts added, and for each colour (r, g, b) in [0, 255] its triangles
        (K, 3), rows of that surface.
    """
    palette = choose_palette(surface.colors)
    label = _nearest(surface.colors, palette)
    corner_labels = label[surface.triangles]
    plain = np.all(corner_labels == corner_labels[:, :1], axis=1)
    pieces, piece_labels = [surface.triangles[plain]], [corner_labels[plain, 0]]
    surface, cut, cut_labels = _cut(surface, surface.triangles[~plain], label, palette)
    triangles, labels = np.concatenate([*pieces, cut]), np.concatenate([*piece_labels, cut_labels])
    used = np.unique(labels)
    colors = [tuple(int(c) for c in (palette[k] * 255).round()) for k in used]
    return surface, [(color, triangles[labels == k]) for color, k in zip(colors, used, strict=True)]  # type: ignore


def choose_palette(colors: np.ndarray) -> np.ndarray:
    """Return few colours (P, 3) of which one is near each of (N, 3): the most frequent, then always the farthest.

    It is the mean colour alone where `MOST_COLORS` would not do.
    """
    unique, counts = np.unique(colors, axis=0, return_counts=True)
    palette = unique[[counts.argmax()]]
    while len(palette) <= MOST_COLORS:
        distance = np.linalg.norm(unique[:, None] - palette, axis=2).min(axis=1)
        if distance.max() <= COLOR_STEP:
            return palette
        palette = np.concatenate([palette, unique[[distance.argmax()]]])
    return colors.mean(axis=0, keepdims=True)


def _nearest(colors: np.ndarray, palette: np.ndarray) -> np.ndarray:
    return np.linalg.norm(colors[:, None] - palette, axis=2).argmin(axis=1)


def _cut(
    surface: Surface, triangles: np.ndarray, label: np.ndarray, palette: np.ndarray
) -> tuple[Surface, np.ndarray, np.ndarray]:
    """Cut triangles (M, 3) with two or three labels; those with three go to the label of their mean colour."""
    own = label[triangles]
    three = (own[:, 0] != own[:, 1]) & (own[:, 1] != own[:, 2]) & (own[:, 2] != own[:, 0])
    whole = triangles[three]
    whole_labels = _nearest(surface.colors[whole].mean(axis=1), palette)
    # The corner of its own kind comes first.
    mixed, own = triangles[~three], own[~three]
    lone = np.where(own[:, 1] == own[:, 2], 0, np.where(own[:, 0] == own[:, 2], 1, 2))
    a, b, c = np.take_along_axis(mixed, (lone[:, None] + np.arange(3)) % 3, axis=1).T
    start, ends = np.concatenate([a, a]), np.concatenate([b, c])
    edges, inverse = np.unique(np.sort(np.stack([start, ends], axis=1), axis=1), axis=0, return_inverse=True)
    share = _crossing(surface.colors, edges, palette[label[edges]])
    ab, ac = inverse.reshape(2, -1) + len(surface.points)
    grown = _with_points(surface, edges, share)
    pieces = [np.stack(piece, axis=1) for piece in ((a, ab, ac), (ab, b, c), (ab, c, ac))]
    labels = [label[a], label[b], label[b]]
    return grown, np.concatenate([whole, *pieces]), np.concatenate([whole_labels, *labels])


def _crossing(colors: np.ndarray, edges: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return where along edges (E, 2), in (0, 1), the colour is half way between `ends` (E, 2, 3)."""
    axis = ends[:, 1] - ends[:, 0]
    middle = np.sum(axis * (ends[:, 0] + ends[:, 1]) / 2, axis=1)
    first, second = (np.sum(axis * colors[edges[:, k]], axis=1) for k in (0, 1))
    return ((middle - first) / (second - first).clip(1e-9)).clip(0.02, 0.98).astype(np.float32)


def _with_points(surface: Surface, edges: np.ndarray, share: np.ndarray) -> Surface:
    a, b, t = edges[:, 0], edges[:, 1], share[:, None]
    added = {
        name: np.concatenate([values, values[..., a, :] * (1 - t) + values[..., b, :] * t], axis=-2)
        for name in ("points", "normals", "moves", "turns", "colors")
        for values in [getattr(surface, name)]
    }
    return replace(surface, **added)


@dataclass(frozen=True, eq=False)
class PatchedMesh:
    """All surfaces of a scene.

    Attributes:
        points: (V, 3) float32 metres, all weights 0. moves: (T, V, 3) float32.
        patches: What to draw.
    """

    points: np.ndarray
    moves: np.ndarray
    patches: tuple[Patch, ...]


def patched_mesh(surfaces: Sequence[Surface]) -> PatchedMesh:
    """Cut surfaces with the same targets into patches of one colour."""
    points, moves, patches, start = [], [], [], 0
    for surface in surfaces:
        surface, parts = cut_by_color(surface)
        for number, (color, triangles) in enumerate(parts):
            rows, inverse = np.unique(triangles, return_inverse=True)
            name = surface.name if len(parts) == 1 else f"{surface.name} {number + 1}"
            patches.append(Patch(name, color, rows + start, inverse.reshape(-1, 3)))
        points.append(surface.points)
        moves.append(surface.moves)
        start += len(surface.points)
    return PatchedMesh(np.concatenate(points), np.concatenate(moves, axis=1), tuple(patches))
