"""Logits adjusted to rare classes, and the choice of the strength."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from smirk3d.train.expression_vector.validation import measures_of

_LEAST_SHARE = 1e-4


@dataclass(frozen=True)
class Choice:
    """The strength that was chosen.

    Attributes:
        strength: See `adjustment_of`.
        before: WAR and UAR in per cent, and cross entropy, without adjustment.
        after: The same with it.
    """

    strength: float
    before: dict[str, float]
    after: dict[str, float]


def adjustment_of(votes: Tensor, strength: float) -> Tensor:
    """Return what is added to the logits of each class, (C,): `-strength log(C share)`, shares of the labels.

    The shares of classes that are more frequent than the average, 1 / C, count as the average: their probabilities stay
    in proportion to each other, and only those of rare classes grow.

    Source: Menon et al., "Long-Tail Learning via Logit Adjustment", ICLR 2021, section 4.1, there for all classes.

    Args:
        votes: (N, C) shares of the votes of the training faces; the label is the class with most.
        strength: In [0, 1].
    """
    classes = votes.shape[1]
    share = torch.bincount(votes.argmax(1), minlength=classes) / len(votes)
    return -strength * (classes * share.clamp(_LEAST_SHARE, 1 / classes)).log()


def choose_strength(logits: Tensor, votes: Tensor, strengths: Sequence[float], largest_cost: float) -> Choice:
    """Choose the strength with the highest mean recall of the classes that costs little accuracy.

    Args:
        logits: (N, C) of training faces.
        votes: (N, C) shares.
        strengths: Candidates.
        largest_cost: Loss of accuracy in per cent that is allowed; where all candidates cost more, the strength is 0.
    """
    before = measures_of(logits, votes)
    found = {each: measures_of(logits + adjustment_of(votes, each), votes) for each in strengths} | {0.0: before}
    allowed = [each for each in found if found[each]["war"] >= before["war"] - largest_cost]
    strength = max(allowed, key=lambda each: found[each]["uar"])
    return Choice(strength, before, found[strength])
