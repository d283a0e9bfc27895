"""Losses of the expression network."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import smooth_l1_loss

from smirk3d.head.arkit import ARKIT_MIRROR

ARKIT_BETA = 0.1
"""Error of an ARKit weight from which the loss grows linearly."""
_ARKIT_SCALE = 10.0
"""Brings the loss of the ARKit weights to the size of that of the votes."""


def class_weights(shares: Tensor, balance: float) -> Tensor:
    """Return the weight of each emotion, (8,) float32, with mean 1 over the faces.

    Args:
        shares: (N, 8) votes of the training faces.
        balance: Exponent of the inverse frequency, in [0, 1].
    """
    frequency = shares.mean(0).clamp(min=1e-4)
    weights = frequency**-balance
    return weights / (weights @ shares.mean(0))


def vote_loss(logits: Tensor, shares: Tensor, weights: Tensor) -> Tensor:
    """Return the cross entropy with the shares of the votes, each face weighted by its emotions.

    Source: Barsoum et al., "Training Deep Networks for Facial Expression Recognition with Crowd-Sourced Label
    Distribution", ICMI 2016, section 4.4.

    Args:
        logits: (B, 8).
        shares: (B, 8), sum 1.
        weights: (8,), see `class_weights`.
    """
    cross_entropy = -(shares * logits.log_softmax(1)).sum(1)
    return (cross_entropy * (shares @ weights)).mean()


def arkit_loss(predicted: Tensor, weights: Tensor, flip: Tensor) -> Tensor:
    """Return the smooth L1 loss of ARKit weights.

    Args:
        predicted: (B, 52), of windows as they are.
        weights: (B, 52), of the faces before mirroring.
        flip: (B,) bool, which windows are mirrored.
    """
    wanted = torch.where(flip[:, None], weights[:, list(ARKIT_MIRROR)], weights)
    return _ARKIT_SCALE * smooth_l1_loss(predicted, wanted, beta=ARKIT_BETA)
