"""Losses of the occlusion network."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, kl_div

from smirk3d.fer.network import INPUT_PX, ExpressionNetwork, enlarged

VISIBLE_BELOW, HIDDEN_FROM = 0.02, 0.3
"""A patch with less of it covered is visible; one with more is hidden; those between teach nothing."""
_FLOOR = 1e-4


def rebuilding_loss(rebuilt: Tensor, true: Tensor, is_hidden: Tensor, visible_weight: float) -> Tensor:
    """Return the mean squared error in hidden pixels plus the weighted one in visible pixels.

    Args:
        rebuilt: (B, 1, 96, 96) normalised.
        true: Likewise.
        is_hidden: (B, 1, 96, 96), 1 or 0.
        visible_weight: Weight of the second part.
    """
    square = (rebuilt - true).square()
    hidden = (square * is_hidden).sum() / is_hidden.sum().clamp(min=1)
    visible = (square * (1 - is_hidden)).sum() / (1 - is_hidden).sum().clamp(min=1)
    return hidden + visible_weight * visible


def description_loss(distances: Tensor, shares: Tensor) -> Tensor:
    """Return the loss of a hypersphere that holds visible patches and no hidden ones.

    `h` for a visible patch and `-log(1 - exp(-h))` for a hidden one, h the distance; each class weighs alike.

    Source: Ruff et al., "Rethinking Assumptions in Deep Anomaly Detection", 2020, equation 3.

    Args:
        distances: (B, 144), see `OcclusionNetwork.distances`.
        shares: (B, 144), covered share of each patch.
    """
    visible, hidden = shares < VISIBLE_BELOW, shares > HIDDEN_FROM
    outside = -torch.log1p(-torch.exp(-distances.clamp(min=_FLOOR)))
    inner = (distances * visible).sum() / visible.sum().clamp(min=1)
    return inner + (outside * hidden).sum() / hidden.sum().clamp(min=1)


def semantic_loss(recognizer: ExpressionNetwork, rebuilt: Tensor, true: Tensor) -> Tensor:
    """Return how differently a frozen expression network judges rebuilt faces: divergence of emotions and vectors.

    Args:
        recognizer: In eval mode, without gradients of its own.
        rebuilt: (B, 1, 96, 96) in [0, 1], hidden patches rebuilt and the others true.
        true: Likewise, the faces themselves.

    Source: Lee et al., "Latent-OFER", ICCV 2023, for the semantic consistency.
    """
    views = [enlarged(avg_pool2d(each, 2), INPUT_PX) for each in (rebuilt, true)]
    found = recognizer(views[0])
    with torch.no_grad():
        wanted = recognizer(views[1])
    divergence = kl_div(
        found.logits.log_softmax(1), wanted.logits.log_softmax(1), log_target=True, reduction="batchmean"
    )
    spread = wanted.vector.std().clamp(min=1e-3)
    return divergence + 0.3 * ((found.vector - wanted.vector) / spread).square().mean()
