"""Triplet loss of expression vectors: faces of similar votes, or of similar ARKit weights, lie near each other."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize, relu

MARGIN = 0.2
"""Margin of squared distances of unit vectors."""
MIN_DIFFERENCE = 0.3
"""Triplets of which the distances of the targets differ by less are left out, as a share of the larger distance."""


def triplet_loss(vectors: Tensor, targets: Tensor, generator: torch.Generator) -> Tensor:
    """Return the mean hinge loss of random triplets.

    In each triplet the two faces with the most similar targets are the positive pair. Each of them is once the anchor,
    as in Vemulapalli and Agarwala, "A Compact Embedding for Facial Expression Similarity", CVPR 2019, equation 1.
    Targets are compared by the sum of absolute differences, which of votes is twice the total variation distance.

    Args:
        vectors: (B, D) expression vectors.
        targets: (B, T) shares of votes or ARKit weights.
        generator: Of the triplets.

    Returns:
        (); 0 where no triplet is clear.
    """
    others = [torch.randperm(len(vectors), generator=generator) for _ in range(2)]
    triplets = torch.stack([torch.arange(len(vectors)), *others], 1)  # (B, 3)
    apart = _pair_distances(targets[triplets], power=1)
    order = apart.argsort(1)
    nearest, second = apart.gather(1, order[:, :2]).unbind(1)
    is_clear = (second - nearest > MIN_DIFFERENCE * second) & _all_different(triplets)
    if not is_clear.any():
        return vectors.sum() * 0
    distances = _pair_distances(normalize(vectors, dim=1)[triplets[is_clear]], power=2)
    positive = distances.gather(1, order[is_clear][:, :1])
    negative = distances.gather(1, order[is_clear][:, 1:])
    return relu(positive - negative + MARGIN).mean()


def _pair_distances(values: Tensor, power: int) -> Tensor:
    """Return the distances (N, 3) of the pairs 01, 02 and 12 of triplets (N, 3, D)."""
    first, second = values[:, [0, 0, 1]], values[:, [1, 2, 2]]
    return (first - second).abs().pow(power).sum(2)


def _all_different(triplets: Tensor) -> Tensor:
    """Return which triplets (N, 3) consist of three faces."""
    a, b, c = triplets.unbind(1)
    return (a != b) & (a != c) & (b != c)
