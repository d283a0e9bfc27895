"""Contact of lids and lips: lids close on every person, and margins that meet do not pass through each other."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

Record = TypeVar("Record", "LidClosure", "ContactPairs")


@dataclass(frozen=True)
class LidClosure:
    """What a person's blink does beyond that of the mean head, whose lids meet at weight 1.

    Each of Q vertices at the edge of a lid meets the other lid at a place that is an average of three vertices of the
    neutral head. Where a person's vertex is farther from this place than that of the mean head, the blink moves it
    by so much more.

    Attributes:
        vertex: (Q,) int64 vertices of the lids' edges.
        meeting: (Q, 3) int64 vertices of the place where each arrives.
        meeting_weight: (Q, 3) weights of these, with sum 1.
        closing: (Q,) int64 expression coefficient of the blink.
        eyelid: (Q,) int64 eyelid parameter that adds to it, 0 the left and 1 the right one.
        follower: (R,) int64 vertices that move, those of the edges among them.
        follower_row: (R,) int64 row of `vertex` that each follows.
        follower_weight: (R,) share of its motion.
    """

    vertex: Tensor
    meeting: Tensor
    meeting_weight: Tensor
    closing: Tensor
    eyelid: Tensor
    follower: Tensor
    follower_row: Tensor
    follower_weight: Tensor

    def way(self, neutral: Tensor) -> Tensor:
        """Return the vectors (..., Q, 3) from the edge to its meeting place, of neutral heads (..., V, 3)."""
        there = neutral.index_select(-2, self.meeting.flatten()).unflatten(-2, (-1, 3))
        return (there * self.meeting_weight[:, :, None]).sum(-2) - neutral.index_select(-2, self.vertex)

    def closed(self, vertices: Tensor, excess: Tensor, expression: Tensor, eyelids: Tensor | None) -> Tensor:
        """Return vertices with the rest of the blink.

        Args:
            vertices: (..., V, 3) expressed head, metres.
            excess: (..., Q, 3) ways of the person's neutral head minus those of the mean head, metres.
            expression: (..., <= E) coefficients.
            eyelids: (..., 2) eyelid parameters, or None.
        """
        # The blink may be among the trailing coefficients that are left out.
        padded = torch.nn.functional.pad(expression, (0, 1))
        blink = padded.index_select(-1, self.closing.clamp_max(expression.shape[-1]))
        if eyelids is not None:
            blink = blink + eyelids.index_select(-1, self.eyelid)
        return _moved(vertices, excess * blink[..., None], self.follower, self.follower_row, self.follower_weight)


@dataclass(frozen=True)
class ContactPairs:
    """P pairs of a vertex of one margin and the place opposite to it on the other; they never overlap.

    Attributes:
        vertex: (P,) int64 vertex of each pair.
        opposite: (P, 2) int64 vertices between which the opposite place lies.
        opposite_weight: (P, 2) weights of these, with sum 1.
        side: (P,) +1 where the vertex is above the opposite place, -1 where it is below.
        slack_m: (E, P) overlap in metres that each expression coefficient may cause per unit, as when a lip rolls in
            behind the other one.
        follower: (R,) int64 vertices that move, those of the pairs among them.
        follower_row: (R,) int64 pair that each follows.
        follower_weight: (R,) share of the pair's overlap by which each yields.
    """

    vertex: Tensor
    opposite: Tensor
    opposite_weight: Tensor
    side: Tensor
    slack_m: Tensor
    follower: Tensor
    follower_row: Tensor
    follower_weight: Tensor

    def height(self, vertices: Tensor) -> Tensor:
        """Return how far (..., P), in metres, the upper margins of (..., V, 3) are above the lower ones."""
        y = vertices[..., 1]
        there = y.index_select(-1, self.opposite.flatten()).unflatten(-1, (-1, 2))
        return self.side * (y.index_select(-1, self.vertex) - (there * self.opposite_weight).sum(-1))

    def separated(self, vertices: Tensor, neutral: Tensor, expression: Tensor) -> Tensor:
        """Return vertices on which overlapping margins touch.

        Args:
            vertices: (..., V, 3) expressed head, metres.
            neutral: (..., V, 3) the same person's neutral head, whose own overlap is allowed.
            expression: (..., <= E) coefficients.
        """
        slack = expression @ self.slack_m[: expression.shape[-1]].to(expression.dtype)
        allowed = (-self.height(neutral)).clamp_min(0) + slack
        overlap = (-self.height(vertices) - allowed).clamp_min(0) * self.side
        zero = torch.zeros_like(overlap)
        shift = torch.stack([zero, overlap, zero], dim=-1)
        return _moved(vertices, shift, self.follower, self.follower_row, self.follower_weight)


def _moved(vertices: Tensor, shift: Tensor, follower: Tensor, row: Tensor, weight: Tensor) -> Tensor:
    """Return vertices (..., V, 3) with shares (R,) of shifts (..., Q, 3) added to R followers."""
    moved = (shift.index_select(-2, row) * weight[:, None]).to(vertices.dtype)
    batch = np.broadcast_shapes(vertices.shape[:-2], moved.shape[:-2])
    return vertices.expand(*batch, -1, -1).index_add(-2, follower, moved.expand(*batch, -1, -1))


def remapped(record: Record, index: Tensor) -> Record:
    """Return the record for other vertex numbers.

    Args:
        record: What is renumbered.
        index: (V,) int64 new number of each vertex; followers with a negative one are dropped.
    """
    kept = index[record.follower] >= 0
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    for name in ("vertex", "meeting", "opposite"):
        if name in values:
            values[name] = index[values[name]]
    values["follower"] = index[record.follower[kept]]
    for name in ("follower_row", "follower_weight"):
        values[name] = values[name][kept]
    return type(record)(**values)


def on_device(record: Record, device: torch.device) -> Record:
    """Return a record with its tensors on a device."""
    return type(record)(**{field.name: getattr(record, field.name).to(device) for field in fields(record)})
