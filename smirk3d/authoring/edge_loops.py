"""Closed edge loops of MakeHuman's quads around eyes and mouth, and their split into upper and lower vertices."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from smirk3d.authoring.makehuman import MakeHuman


@dataclass(frozen=True)
class Rims:
    """K concentric loops of an opening, cut at its two corners.

    Attributes:
        upper: (K, N) int64 vertices above from the corner of least x to the other one, both included; outermost loop
            first.
        lower: (K, M) int64 vertices below, between the same corners.
    """

    upper: Tensor
    lower: Tensor

    def mirrored(self, mirror: Tensor) -> Rims:
        """Return the loops of the mirrored opening, `mirror` (V,) int64 partners."""
        return Rims(mirror[self.upper].flip(1), mirror[self.lower].flip(1))


def along(rim: Tensor, vertices: Tensor) -> Tensor:
    """Return where each vertex of a rim (N,) lies between the corners, in [0, 1], of vertices (V, 3)."""
    x = vertices[rim, 0]
    return ((x - x[0]) / (x[-1] - x[0])).cummax(0).values.clamp(0, 1)


def opposite(rim: Tensor, other: Tensor, vertices: Tensor) -> tuple[Tensor, Tensor]:
    """Return the places on another rim that lie opposite to the vertices of a rim.

    Args:
        rim: (N,) int64.
        other: (M,) int64 rim between the same corners.
        vertices: (V, 3) metres.

    Returns:
        (N, 2) int64 vertices of `other` and (N, 2) weights with sum 1.
    """
    here, there = along(rim, vertices), along(other, vertices)
    after = torch.searchsorted(there, here.contiguous()).clamp(1, len(other) - 1)
    span = (there[after] - there[after - 1]).clamp_min(1e-6)
    share = ((here - there[after - 1]) / span).clamp(0, 1)
    return torch.stack([other[after - 1], other[after]], dim=1), torch.stack([1 - share, share], dim=1)


class QuadGraph:
    """Neighbours of the vertices of the head in the quads of the skin.

    Args:
        source: The MakeHuman data.
    """

    def __init__(self, source: MakeHuman) -> None:
        head_index = {int(body): head for head, body in enumerate(source.topology.body_index)}
        self._neighbors: dict[int, set[int]] = defaultdict(set)
        self._quads_of_edge: dict[frozenset[int], set[int]] = defaultdict(set)
        self._head_index = head_index
        for row, quad in enumerate(source.groups["body"][0].tolist()):
            if all(vertex in head_index for vertex in quad):
                self._add(row, [head_index[vertex] for vertex in quad])

    def _add(self, row: int, quad: list[int]) -> None:
        for a, b in zip(quad, quad[1:] + quad[:1], strict=True):
            self._neighbors[a].add(b)
            self._neighbors[b].add(a)
            self._quads_of_edge[frozenset((a, b))].add(row)

    def loop(self, first: int, second: int) -> list[int]:
        """Follow an edge straight on over regular vertices until the loop closes.

        Args:
            first: Vertex of the whole body at which the loop begins.
            second: Its neighbour, which fixes the direction.

        Returns:
            Vertices of the head.

        Raises:
            ValueError: The loop meets a vertex at which "straight on" is not defined.
        """
        path = [self._head_index[first], self._head_index[second]]
        while True:
            previous, current = path[-2:]
            beside = self._quads_of_edge[frozenset((previous, current))]
            ahead = [
                each
                for each in self._neighbors[current]
                if each != previous and not self._quads_of_edge[frozenset((current, each))] & beside
            ]
            if len(ahead) != 1:
                raise ValueError(f"the edge loop from vertex {first} does not close: the base mesh has changed")
            if ahead[0] == path[0]:
                return path
            path.append(ahead[0])

    def registered(self, loops: list[list[int]]) -> np.ndarray:
        """Return concentric loops (K, M) of equal length with neighbouring vertices in one column.

        Args:
            loops: K loops, each a neighbour of the one before.
        """
        rows = [loops[0]]
        for loop in loops[1:]:
            members = set(loop)
            rows.append([next(iter(self._neighbors[vertex] & members)) for vertex in rows[-1]])
        return np.array(rows)


def rims(graph: QuadGraph, anchors: tuple[tuple[int, int], ...], vertices: Tensor, corner_loop: int) -> Rims:
    """Return the loops around an opening, cut at its corners.

    Args:
        graph: The quads.
        anchors: Two successive body vertices of each loop, from the outermost loop inwards.
        vertices: (V, 3) vertices of the head, metres.
        corner_loop: Loop whose extremes in x are the corners.
    """
    columns = torch.from_numpy(graph.registered([graph.loop(*anchor) for anchor in anchors]))
    x = vertices[columns[corner_loop], 0]
    columns = columns.roll(-int(x.argmin()), dims=1)
    end = int(vertices[columns[corner_loop], 0].argmax())
    one = columns[:, : end + 1]
    two = torch.cat([columns[:, end:], columns[:, :1]], dim=1).flip(1)
    is_upper = vertices[one[corner_loop], 1].mean() > vertices[two[corner_loop], 1].mean()
    return Rims(one, two) if is_upper else Rims(two, one)
