"""The margins of lids and lips of the open head that meet."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from smirk3d.authoring.edge_loops import opposite
from smirk3d.authoring.lids import INNER_FOLLOWER, SKIN_FOLLOWERS, resampled
from smirk3d.authoring.openings import LID_EDGE, LID_FRONT, LIP_SEAM, Openings
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.contact import ContactPairs, LidClosure

LIP_LOOPS = (3, 4, LIP_SEAM)
"""Loops of the lips that may meet."""
LIP_FOLLOWERS = {3: {2: 0.5, 1: 0.25}, LIP_SEAM: {6: 0.8, 7: 0.5}}
"""Loops that follow a loop of `LIP_LOOPS`, and their share of its correction."""
ROLLING = ("mouthRollLower", "mouthRollUpper")
"""Blendshapes that bring one lip behind the other; their overlap at weight 1 is allowed."""
_INTERIOR = slice(1, -1)
"""The vertices of a rim between its corners, which belong to both rims."""


def find_lid_closure(openings: Openings, mean: Tensor, upper_share: Tensor) -> LidClosure:
    """Return how the blink of a person follows from where the lids are.

    Args:
        openings: Loops around eyes and mouth.
        mean: (V, 3) mean head, metres.
        upper_share: (N,) share of the upper lid in closing the left eye, at the vertices of its front edge.
    """
    rows: dict[str, list[Tensor]] = {}
    count = 0
    for side, rim, other, share in _lids(openings, mean, upper_share):
        front = rim[LID_FRONT][_INTERIOR]
        index, weight = opposite(rim[LID_FRONT], other[LID_FRONT], mean)
        index, weight, part = index[_INTERIOR], weight[_INTERIOR], share[_INTERIOR, None]
        for loop in LID_EDGE:
            numbers = torch.arange(len(front)) + count
            count += len(front)
            columns = {
                "vertex": rim[loop][_INTERIOR],
                "meeting": torch.cat([front[:, None], index], dim=1),
                "meeting_weight": torch.cat([1 - part, part * weight], dim=1),
                "closing": torch.full((len(front),), ARKIT_NAMES.index(f"eyeBlink{side}")),
                "eyelid": torch.full((len(front),), int(side == "Right")),
            }
            for name, values in columns.items():
                rows.setdefault(name, []).append(values)
            _add_followers(rows, rim, _lid_followers(loop), numbers, torch.ones(len(front)))
    return LidClosure(**{name: torch.cat(parts) for name, parts in rows.items()})


def find_contact_pairs(openings: Openings, mean: Tensor, upper_share: Tensor) -> ContactPairs:
    """Return the pairs of the lids and the lips, without any slack.

    Args:
        openings: Loops around eyes and mouth.
        mean: (V, 3) mean head with closed lips, metres.
        upper_share: (N,) share of the upper lid in closing the left eye, at the vertices of its front edge.
    """
    margins = [
        (rim, other, loop, _lid_followers(loop), share)
        for _, rim, other, share in _lids(openings, mean, upper_share)
        for loop in LID_EDGE
    ]
    mouth = openings.mouth
    for rim, other in ((mouth.upper, mouth.lower), (mouth.lower, mouth.upper)):
        half = torch.full((rim.shape[1],), 0.5)
        margins += [(rim, other, loop, {loop: 1.0} | LIP_FOLLOWERS.get(loop, {}), half) for loop in LIP_LOOPS]
    rows: dict[str, list[Tensor]] = {}
    count = 0
    for rim, other, loop, followers, share in margins:
        index, weight = opposite(rim[loop], other[loop], mean)
        numbers = torch.arange(rim.shape[1] - 2) + count
        count += len(numbers)
        is_above = mean[rim[loop], 1].mean() > mean[other[loop], 1].mean()
        columns = {
            "vertex": rim[loop][_INTERIOR],
            "opposite": index[_INTERIOR],
            "opposite_weight": weight[_INTERIOR],
            "side": torch.full((len(numbers),), 1.0 if is_above else -1.0),
        }
        for name, values in columns.items():
            rows.setdefault(name, []).append(values)
        _add_followers(rows, rim, followers, numbers, share[_INTERIOR])
    slack = torch.zeros(len(ARKIT_NAMES), count)
    return ContactPairs(slack_m=slack, **{name: torch.cat(parts) for name, parts in rows.items()})


def _lids(openings: Openings, mean: Tensor, upper_share: Tensor) -> list[tuple[str, Tensor, Tensor, Tensor]]:
    """Return side, rim, opposite rim and share of the rim in closing the eye for each of the four lids."""
    left = openings.left_eye
    lower_share = 1 - resampled(upper_share, left.upper[LID_FRONT], left.lower[LID_FRONT], mean)
    lids = []
    for side, eye in (("Left", left), ("Right", openings.right_eye)):
        shares = [upper_share, lower_share]
        if side == "Right":  # its rims run the other way
            shares = [share.flip(0) for share in shares]
        lids += [(side, eye.upper, eye.lower, shares[0]), (side, eye.lower, eye.upper, shares[1])]
    return lids


def _lid_followers(loop: int) -> dict[int, float]:
    """Return the loops that move with a loop of a lid's edge, itself among them, and their shares."""
    skin = SKIN_FOLLOWERS if loop == LID_FRONT else {}
    inner = {loop + 1: INNER_FOLLOWER} if loop == LID_EDGE[-1] else {}
    return {loop: 1.0} | skin | inner


def _add_followers(
    rows: dict[str, list[Tensor]], rim: Tensor, followers: dict[int, float], numbers: Tensor, share: Tensor
) -> None:
    for loop, part in followers.items():
        rows.setdefault("follower", []).append(rim[loop][_INTERIOR])
        rows.setdefault("follower_row", []).append(numbers)
        rows.setdefault("follower_weight", []).append(part * share)


def with_contact(offsets: Tensor, pairs: ContactPairs, mean: Tensor) -> tuple[Tensor, ContactPairs]:
    """Return blendshapes whose margins do not pass through each other at weight 1, and the pairs with their slack.

    Args:
        offsets: (52, V, 3) metres.
        pairs: Without slack.
        mean: (V, 3) mean head, metres.
    """
    overlap = (-pairs.height(mean + offsets)).clamp_min(0)
    slack = torch.zeros_like(pairs.slack_m)
    for name in ROLLING:
        slack[ARKIT_NAMES.index(name)] = overlap[ARKIT_NAMES.index(name)]
    pairs = replace(pairs, slack_m=slack)
    weights = torch.eye(len(ARKIT_NAMES))
    corrected = pairs.separated(mean + offsets, mean, weights) - mean
    # The chin pushes the lower lip up, and this the upper lip, which alone yields.
    row = ARKIT_NAMES.index("mouthShrugLower")
    is_upper = pairs.side[pairs.follower_row] > 0
    pushed = replace(pairs, follower_weight=torch.where(is_upper, 2 * pairs.follower_weight, 0.0))
    corrected[row] = pushed.separated(mean + offsets[row], mean, weights[row]) - mean
    # mouthClose makes up for jawOpen, without which it overlaps by intention.
    row = ARKIT_NAMES.index("mouthClose")
    corrected[row] = offsets[row]
    return corrected, pairs
