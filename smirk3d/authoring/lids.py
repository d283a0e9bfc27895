"""Lids that meet: the blink of the open head closes the eye at weight 1, margin upon margin."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from smirk3d.authoring.edge_loops import Rims, opposite
from smirk3d.authoring.openings import LID_EDGE, LID_FRONT, LID_INSIDE

SKIN_FOLLOWERS = {0: 0.08, 1: 0.3, 2: 0.55, 3: 0.8, 4: 0.95, 5: 1.0}
"""Loops of the skin of the lids, and the share of the correction of the front edge that they take."""
INNER_FOLLOWER = 0.8
"""Share of the loop behind the edge of a lid."""
MIN_UPPER_SHARE = 0.6
"""Least share of the upper lid in closing the eye."""
EYEBALL_CLEARANCE_M = {6: 0.0010, 7: 0.0007, 8: 0.0004}
"""Distance of the loops of the edge of closed lids from the eyeball, metres; the front edge stays in front."""
CORNER_FOLLOWERS = SKIN_FOLLOWERS | dict.fromkeys((*LID_EDGE, LID_INSIDE), 1.0)
"""Loops at the corners of the eye, and how far they take the motion of their neighbours instead of their own."""


@dataclass(frozen=True)
class Eyeball:
    """A sphere around an eyeball.

    Attributes:
        center: (3,) metres.
        radius_m: Radius that includes the cornea, metres.
    """

    center: Tensor
    radius_m: float

    def in_front(self, points: Tensor, clearance_m: float) -> Tensor:
        """Return points (N, 3) moved forwards, along z, until they are so far outside of the eyeball."""
        beside = (points - self.center)[:, :2].square().sum(1)
        radius = self.radius_m + clearance_m
        depth = (radius**2 - beside).clamp_min(0).sqrt() + self.center[2]
        result = points.clone()
        result[:, 2] = torch.maximum(points[:, 2], depth)
        return result


def enclosing_sphere(points: Tensor) -> Eyeball:
    """Return nearly the smallest sphere around points (N, 3), metres.

    Source: Badoiu and Clarkson, "Smaller core-sets for balls", 2003: the centre steps towards the farthest point.
    """
    center = points.mean(0)
    for step in range(1, 200):
        arm = points - center
        center = center + arm[arm.norm(dim=1).argmax()] / (step + 1)
    return Eyeball(center, float((points - center).norm(dim=1).max()))


@dataclass(frozen=True)
class _Lid:
    """One lid of an eye.

    Attributes:
        rim: (K, N) int64 its loops.
        other: (K, M) int64 those of the other lid.
        share: (N,) its share in closing the eye, at the vertices of its front edge.
    """

    rim: Tensor
    other: Tensor
    share: Tensor

    def across(self, loop: int, values: Tensor, mean: Tensor) -> Tensor:
        """Return values (V, ...) of the other lid opposite to the vertices of a loop, (N, ...)."""
        index, weight = opposite(self.rim[loop], self.other[loop], mean)
        return torch.einsum("nk,nk...->n...", weight, values[index])

    def meeting_height(self, mean: Tensor) -> Tensor:
        """Return the height (N,) at which the front edge meets that of the other lid, metres."""
        return torch.lerp(mean[self.rim[LID_FRONT], 1], self.across(LID_FRONT, mean, mean)[:, 1], self.share)


def closing_blink(eye: Rims, blink: Tensor, mean: Tensor, eyeball: Eyeball) -> tuple[Tensor, Tensor]:
    """Return a blink that closes the eye of the mean head exactly at weight 1.

    Both lids keep their paths, which are cut where they meet; the three loops of the edge meet at one height.

    Args:
        eye: Loops of one eye.
        blink: (V, 3) offsets of a blink that closes too much, metres.
        mean: (V, 3) mean head, metres.
        eyeball: The eyeball of the mean head.

    Returns:
        (V, 3) offsets and (N,) share of the upper lid at each vertex of the upper front edge, in [0, 1].
    """
    upper = _Lid(eye.upper, eye.lower, torch.ones(eye.upper.shape[1]))
    front = eye.upper[LID_FRONT]
    gap = (mean[front] - upper.across(LID_FRONT, mean, mean))[:, 1]
    down, up = -blink[front, 1], upper.across(LID_FRONT, blink, mean)[:, 1]
    closing = (down + up).clamp_min(1e-4)
    result = blink * _smooth((gap / closing).clamp(0.3, 1.0)).mean()
    share = _smooth((down / closing).clamp(MIN_UPPER_SHARE, 1.0))
    lower_share = 1 - resampled(share, front, eye.lower[LID_FRONT], mean)
    for lid in (_Lid(eye.upper, eye.lower, share), _Lid(eye.lower, eye.upper, lower_share)):
        _close(lid, result, mean, eyeball)
    _smooth_corners(eye, result)
    return result, share


def _close(lid: _Lid, result: Tensor, mean: Tensor, eyeball: Eyeball) -> None:
    """Write the offsets of one lid's edge into `result` (V, 3), and let its skin follow."""
    interior = slice(1, -1)
    height = lid.meeting_height(mean)
    for loop in LID_EDGE:
        here = lid.rim[loop]
        across = lid.across(loop, mean, mean)
        # Half-way between where the paths of both lids lead, so that they coincide.
        target = (mean[here] + result[here] + across + lid.across(loop, result, mean)) / 2
        target[:, 0] = torch.lerp(mean[here, 0], across[:, 0], lid.share)
        target[:, 1] = height
        correction = (eyeball.in_front(target, EYEBALL_CLEARANCE_M[loop]) - mean[here] - result[here])[interior]
        followers = {loop: 1.0} | (SKIN_FOLLOWERS if loop == LID_FRONT else {})
        followers |= {loop + 1: INNER_FOLLOWER} if loop == LID_EDGE[-1] else {}
        for each, part in followers.items():
            result[lid.rim[each][interior]] += part * correction


def _smooth_corners(eye: Rims, result: Tensor) -> None:
    """Let the corners of an eye move as the mean of both lids beside them, in `result` (V, 3)."""
    for end, beside in ((0, 1), (-1, -2)):
        for loop, part in CORNER_FOLLOWERS.items():
            corner = eye.upper[loop, end]
            neighbors = (result[eye.upper[loop, beside]] + result[eye.lower[loop, beside]]) / 2
            result[corner] = torch.lerp(result[corner], neighbors, part)


def resampled(values: Tensor, rim: Tensor, target: Tensor, mean: Tensor) -> Tensor:
    """Return values (N,) along one rim at the vertices of another one between the same corners (M,).

    Args:
        values: (N,) at the vertices of `rim`.
        rim: (N,) int64.
        target: (M,) int64.
        mean: (V, 3) metres.
    """
    index, weight = opposite(target, rim, mean)
    row = {int(vertex): number for number, vertex in enumerate(rim)}
    rows = torch.tensor([[row[int(each)] for each in pair] for pair in index])
    return (values[rows] * weight).sum(1)


def _smooth(values: Tensor) -> Tensor:
    """Return values (N,) averaged with their neighbours."""
    padded = torch.cat([values[:1], values, values[-1:]])
    return (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
