"""Splitting of coloured surfaces into patches of one colour each, because viser has one colour per mesh."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

MAX_COLOR_DISTANCE = 0.1
"""Maximum distance between the colour of a vertex and that of its patch, sRGB in [0, 1]."""
MAX_COLORS = 12
"""Surfaces that need more colours, such as skin with a texture, get `SHADES` of them."""
SHADES = 40
"""Colours of a textured surface: neighbouring ones are hardly told apart."""
_SUNK = 0.0003
"""Depth of the hidden triangles around a patch, relative to the size of its surface."""
_VERTEX_FIELDS = {"points": 0, "normals": 0, "colors": 0, "displacements": 1, "normal_displacements": 1}
"""Fields of `Surface` with an axis of vertices, and that axis."""
_CLUSTER_ITERATIONS = 12
_MAX_CLUSTERED = 20_000
"""Vertices by which shades are chosen."""
_CURVATURE = 0.75
"""Weight of the curved surface against the flat triangle, in [0, 1]; the value of the paper on Phong tessellation."""


@dataclass(frozen=True, eq=False)
class Surface:
    """Triangles of one material with T morph targets.

    Attributes:
        name: Name of the material.
        points: (N, 3) float32, metres.
        normals: (N, 3) float32, unit vectors.
        displacements: (T, N, 3) float32, displacement of the points by each target, metres.
        normal_displacements: (T, N, 3) float32, displacement of the normals by each target.
        colors: (N, 3) float32, sRGB in [0, 1].
        triangles: (F, 3) int64, rows of the points.
    """

    name: str
    points: np.ndarray
    normals: np.ndarray
    displacements: np.ndarray
    normal_displacements: np.ndarray
    colors: np.ndarray
    triangles: np.ndarray

    def rows(self, index: np.ndarray) -> Surface:
        """Return the surface with a selection of the vertices; triangles are kept as they are.

        Args:
            index: (M,) int64, rows of the points.
        """
        each, all_targets = ("points", "normals", "colors"), ("displacements", "normal_displacements")
        taken = {name: getattr(self, name)[index] for name in each}
        return replace(self, **taken, **{name: getattr(self, name)[:, index] for name in all_targets})


@dataclass(frozen=True, eq=False)
class Patch:
    """A part of a mesh with one colour.

    Attributes:
        name: Display name.
        color: (r, g, b), sRGB in [0, 255].
        rows: (M,) int64, rows of the scene's vertices.
        triangles: (K, 3) int64, rows of `rows`.
        n_shown: Number of triangles of its own, the first ones; the others are sunk, see `split_into_patches`.
    """

    name: str
    color: tuple[int, int, int]
    rows: np.ndarray
    triangles: np.ndarray
    n_shown: int


def weld(surface: Surface) -> Surface:
    """Merge vertices that coincide in every expression, because the split normals of texture seams are visible.

    Args:
        surface: The surface.
    """
    n = len(surface.points)
    table = np.concatenate([surface.points, surface.displacements.transpose(1, 0, 2).reshape(n, -1)], axis=1)
    keys = np.ascontiguousarray(table + np.float32(0)).view(np.dtype((np.void, table.shape[1] * table.itemsize)))
    _, first, inverse = np.unique(keys.ravel(), return_index=True, return_inverse=True)
    return replace(surface.rows(first), triangles=inverse.reshape(-1)[surface.triangles])


def subdivide(surface: Surface) -> Surface:
    """Split each triangle into four, with the new points on the curved surface that the normals define.

    The targets at weight 1 are subdivided likewise. Colours of new points are the mean of the ends of their edge.

    Args:
        surface: The surface.

    Source: Boubekeur and Alexa, "Phong Tessellation" (2008).
    """
    edges, triangles = _split_edges(surface.triangles, len(surface.points))
    a, b = edges.T
    points, normals = _phong_midpoints(surface.points[a], surface.points[b], surface.normals[a], surface.normals[b])
    full, full_normals = surface.points + surface.displacements, surface.normals + surface.normal_displacements
    target_points, target_normals = _phong_midpoints(full[:, a], full[:, b], full_normals[:, a], full_normals[:, b])
    is_static = ~(np.any(surface.displacements[:, a] != 0, axis=2) | np.any(surface.displacements[:, b] != 0, axis=2))
    displacements, normal_displacements = target_points - points, target_normals - normals
    # Exact zeros, which the viewer does not send again.
    displacements[is_static], normal_displacements[is_static] = 0, 0
    return Surface(
        surface.name,
        np.concatenate([surface.points, points]),
        np.concatenate([surface.normals, normals]),
        np.concatenate([surface.displacements, displacements], axis=1),
        np.concatenate([surface.normal_displacements, normal_displacements], axis=1),
        np.concatenate([surface.colors, (surface.colors[a] + surface.colors[b]) / 2]),
        triangles,
    )


def _split_edges(triangles: np.ndarray, n_points: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the edges (E, 2), whose midpoints are the new points, and the triangles (4 F, 3)."""
    corners = np.stack([triangles, np.roll(triangles, -1, axis=1)], axis=2).reshape(-1, 2)
    edges, inverse = np.unique(np.sort(corners, axis=1), axis=0, return_inverse=True)
    ab, bc, ca = (inverse.reshape(-1, 3) + n_points).T
    a, b, c = triangles.T
    four = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    return edges, np.concatenate([np.stack(corner, axis=1) for corner in four])


def _phong_midpoints(p: np.ndarray, q: np.ndarray, n: np.ndarray, m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return midpoints (..., 3) of edges from p to q with normals n and m on the curved surface, and their normals."""
    midpoint = (p + q) / 2
    # Projections of the midpoint onto the tangent planes at both ends.
    projected = [
        midpoint - np.sum((midpoint - x) * normal, axis=-1, keepdims=True) * normal for x, normal in ((p, n), (q, m))
    ]
    normal = n + m
    length = np.linalg.norm(normal, axis=-1, keepdims=True).clip(1e-9)
    curved = (1 - _CURVATURE) * midpoint + _CURVATURE * (projected[0] + projected[1]) / 2
    return curved.astype(np.float32), (normal / length).astype(np.float32)


def split_by_color(surface: Surface) -> tuple[Surface, list[tuple[tuple[int, int, int], np.ndarray]]]:
    """Split the triangles along the boundaries between colours.

    Args:
        surface: The surface.

    Returns:
        The surface with the vertices on the boundaries added, and for each colour (r, g, b) in [0, 255] its triangles
        (K, 3) int64, rows of that surface.
    """
    palette = choose_palette(surface.colors)
    label = _nearest(surface.colors, palette)
    corner_labels = label[surface.triangles]
    is_uniform = np.all(corner_labels == corner_labels[:, :1], axis=1)
    pieces, piece_labels = [surface.triangles[is_uniform]], [corner_labels[is_uniform, 0]]
    surface, split, split_labels = _split_mixed(surface, surface.triangles[~is_uniform], label, palette)
    triangles, labels = np.concatenate([*pieces, split]), np.concatenate([*piece_labels, split_labels])
    used = np.unique(labels)
    colors = [tuple(int(c) for c in (palette[k] * 255).round()) for k in used]
    return surface, [(color, triangles[labels == k]) for color, k in zip(colors, used, strict=True)]  # type: ignore


def choose_palette(colors: np.ndarray) -> np.ndarray:
    """Choose few colours such that each vertex is within `MAX_COLOR_DISTANCE` of one: farthest-point sampling.

    Args:
        colors: (N, 3) float in [0, 1].

    Returns:
        (P, 3) float, P at most `MAX_COLORS`; `SHADES` clusters of the colours where that many are not enough.
    """
    unique, counts = np.unique(colors, axis=0, return_counts=True)
    palette = unique[[counts.argmax()]]
    distance = np.full(len(unique), np.inf)
    while len(palette) <= MAX_COLORS:
        distance = np.minimum(distance, np.linalg.norm(unique - palette[-1], axis=1))
        if distance.max() <= MAX_COLOR_DISTANCE:
            return palette
        palette = np.concatenate([palette, unique[[distance.argmax()]]])
    # The rest is spread over the vertices by brightness, so that the skin gets most of the shades.
    some = colors[:: len(colors) // _MAX_CLUSTERED + 1]
    spread = some[np.argsort(some.sum(axis=1), kind="stable")]
    spread = spread[np.linspace(0, len(some) - 1, SHADES - len(palette) + 2)[1:-1].astype(int)]
    return _clustered(some, np.concatenate([palette, spread]))


def _clustered(colors: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Return means of clusters of colours, from a first palette: Lloyd's algorithm."""
    for _ in range(_CLUSTER_ITERATIONS):
        label = _nearest(colors, palette)
        counts = np.bincount(label, minlength=len(palette))
        sums = np.stack([np.bincount(label, channel, len(palette)) for channel in colors.T], axis=1)
        palette = np.where(counts[:, None] > 0, sums / counts.clip(1)[:, None], palette)
    return palette


def _nearest(colors: np.ndarray, palette: np.ndarray) -> np.ndarray:
    return np.linalg.norm(colors[:, None] - palette, axis=2).argmin(axis=1)


def _split_mixed(
    surface: Surface, triangles: np.ndarray, label: np.ndarray, palette: np.ndarray
) -> tuple[Surface, np.ndarray, np.ndarray]:
    """Split triangles (M, 3) with two labels; those with three get the label of their mean colour."""
    own = label[triangles]
    has_three = (own[:, 0] != own[:, 1]) & (own[:, 1] != own[:, 2]) & (own[:, 2] != own[:, 0])
    whole = triangles[has_three]
    whole_labels = _nearest(surface.colors[whole].mean(axis=1), palette)
    # Rotate the corners so that the one with a label of its own comes first.
    mixed, own = triangles[~has_three], own[~has_three]
    lone = np.where(own[:, 1] == own[:, 2], 0, np.where(own[:, 0] == own[:, 2], 1, 2))
    a, b, c = np.take_along_axis(mixed, (lone[:, None] + np.arange(3)) % 3, axis=1).T
    start, ends = np.concatenate([a, a]), np.concatenate([b, c])
    edges, inverse = np.unique(np.sort(np.stack([start, ends], axis=1), axis=1), axis=0, return_inverse=True)
    fraction = _crossing(surface.colors, edges, palette[label[edges]])
    ab, ac = inverse.reshape(2, -1) + len(surface.points)
    extended = _with_points(surface, edges, fraction)
    pieces = [np.stack(piece, axis=1) for piece in ((a, ab, ac), (ab, b, c), (ab, c, ac))]
    labels = [label[a], label[b], label[b]]
    return extended, np.concatenate([whole, *pieces]), np.concatenate([whole_labels, *labels])


def _crossing(colors: np.ndarray, edges: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return the fraction (E,) in (0, 1) along edges (E, 2) where the colour is half way between `ends` (E, 2, 3)."""
    axis = ends[:, 1] - ends[:, 0]
    halfway = np.sum(axis * (ends[:, 0] + ends[:, 1]) / 2, axis=1)
    first, second = (np.sum(axis * colors[edges[:, k]], axis=1) for k in (0, 1))
    return ((halfway - first) / (second - first).clip(1e-9)).clip(0.02, 0.98).astype(np.float32)


def _with_points(surface: Surface, edges: np.ndarray, fraction: np.ndarray) -> Surface:
    a, b, t = edges[:, 0], edges[:, 1], fraction[:, None]
    added = {
        name: np.concatenate([values, values[..., a, :] * (1 - t) + values[..., b, :] * t], axis=-2)
        for name in ("points", "normals", "displacements", "normal_displacements", "colors")
        for values in [getattr(surface, name)]
    }
    return replace(surface, **added)


@dataclass(frozen=True, eq=False)
class PatchedMesh:
    """All surfaces of a scene, split into patches.

    Attributes:
        points: (V, 3) float32, metres, vertices with all weights 0.
        displacements: (T, V, 3) float32, displacement of each target at weight 1.
        patches: Parts with one colour each.
    """

    points: np.ndarray
    displacements: np.ndarray
    patches: tuple[Patch, ...]


def split_into_patches(surfaces: Sequence[Surface]) -> PatchedMesh:
    """Split surfaces with the same targets into patches of one colour.

    The browser shades each patch by itself. So that no edges are seen between patches, each also has the triangles
    around it, sunk a little below those that are seen.

    Args:
        surfaces: At least one.
    """
    points, displacements, patches, start = [], [], [], 0
    for surface in surfaces:
        surface, parts = split_by_color(surface)
        n_shown = [len(triangles) for _, triangles in parts]
        surface, parts = _with_sunk_borders(surface, parts)
        for number, (color, triangles) in enumerate(parts):
            rows, inverse = np.unique(triangles, return_inverse=True)
            name = surface.name if len(parts) == 1 else f"{surface.name} {number + 1}"
            patches.append(Patch(name, color, rows + start, inverse.reshape(-1, 3), n_shown[number]))
        points.append(surface.points)
        displacements.append(surface.displacements)
        start += len(surface.points)
    return PatchedMesh(np.concatenate(points), np.concatenate(displacements, axis=1), tuple(patches))


Part = tuple[tuple[int, int, int], np.ndarray]
"""A colour (r, g, b) in [0, 255], and its triangles (K, 3) int64."""


def _with_sunk_borders(surface: Surface, parts: list[Part]) -> tuple[Surface, list[Part]]:
    """Add to each part the triangles around it, whose other corners are copies below the surface."""
    if len(parts) == 1:
        return surface, parts
    count = len(surface.points)
    triangles = np.concatenate([each for _, each in parts])
    owner = np.repeat(np.arange(len(parts)), [len(each) for _, each in parts])
    bordered, is_sunk = [], np.zeros(count, dtype=bool)
    for number, (color, own) in enumerate(parts):
        in_part = np.zeros(count, dtype=bool)
        in_part[own] = True
        shared = in_part[triangles].sum(axis=1)
        # A triangle with all corners in the part would lie exactly on the one that is seen.
        around = triangles[(owner != number) & (shared > 0) & (shared < 3)]
        outer = ~in_part[around]
        is_sunk[around[outer]] = True
        bordered.append((color, np.concatenate([own, np.where(outer, around + count, around)])))
    rows = np.flatnonzero(is_sunk)
    place = np.concatenate([np.arange(count), np.zeros(count, dtype=np.int64)])
    place[count + rows] = count + np.arange(len(rows))
    size = float(np.ptp(surface.points, axis=0).max())
    sunk = surface.rows(rows)
    sunk = replace(sunk, points=(sunk.points - _SUNK * size * sunk.normals).astype(np.float32))
    merged = {
        name: np.concatenate([getattr(surface, name), getattr(sunk, name)], axis=axis)
        for name, axis in _VERTEX_FIELDS.items()
    }
    return replace(surface, **merged), [(color, place[each]) for color, each in bordered]
