"""Edge loops of the eyes and the mouth on MakeHuman's base mesh."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from smirk3d.authoring.edge_loops import QuadGraph, Rims, rims
from smirk3d.authoring.makehuman import MakeHuman

LEFT_EYE_LOOPS = (
    (6930, 6929),
    (6874, 6873),
    (11515, 11513),
    (6789, 6840),
    (6787, 6839),
    (11465, 11466),
    (6785, 6838),
    (13352, 13359),
    (7748, 7765),
    (7774, 7791),
)
"""Two successive body vertices of each loop around the left eye, from the skin of the lids inwards."""
MOUTH_LOOPS = ((466, 7222), (467, 7223), (509, 7257), (468, 7224), (474, 7229), (520, 7267), (537, 7282), (554, 7297))
"""The same around the mouth, from the middle of the lips inwards."""
LID_FRONT = 6
"""Loop of the front edge of the lids."""
LID_EDGE = (6, 7, 8)
"""Loops of the edge of the lids, from the front to the eyeball: they meet when the eye closes."""
LID_INSIDE = 9
"""Loop behind the edge of the lids, at which the socket begins."""
LIP_SEAM = 5
"""Loop along which closed lips touch."""


@dataclass(frozen=True)
class Openings:
    """The loops around eyes and mouth.

    Attributes:
        left_eye: 10 loops.
        right_eye: Their mirror images.
        mouth: 8 loops.
    """

    left_eye: Rims
    right_eye: Rims
    mouth: Rims

    def mask(self, count: int) -> Tensor:
        """Return which of `count` vertices belong to a loop, (count,) bool."""
        mask = torch.zeros(count, dtype=torch.bool)
        for each in (self.left_eye, self.right_eye, self.mouth):
            mask[each.upper.flatten()] = True
            mask[each.lower.flatten()] = True
        return mask


def find_openings(source: MakeHuman, vertices: Tensor, mirror: Tensor) -> Openings:
    """Return the loops of the head.

    Args:
        source: The MakeHuman data.
        vertices: (V, 3) head, metres.
        mirror: (V,) int64 partners of the vertices in the mirrored head.

    Raises:
        ValueError: The base mesh is another one.
    """
    graph = QuadGraph(source)
    left_eye = rims(graph, LEFT_EYE_LOOPS, vertices, LID_FRONT)
    return Openings(left_eye, left_eye.mirrored(mirror), rims(graph, MOUTH_LOOPS, vertices, LIP_SEAM))
