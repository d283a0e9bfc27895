"""Losses of the expression network."""

from __future__ import annotations

import pytest
import torch

from smirk3d.head.arkit import ARKIT_MIRROR
from smirk3d.train.expression_vector.losses import arkit_loss, class_weights, vote_loss


def test_weights_have_mean_one_over_the_faces_and_rare_emotions_weigh_more() -> None:
    shares = torch.zeros(100, 8)
    shares[:90, 0], shares[90:, 1] = 1, 1
    weights = class_weights(shares, 0.5)
    assert (shares @ weights).mean() == pytest.approx(1.0, rel=1e-5)
    assert weights[1] / weights[0] == pytest.approx(3.0, rel=1e-3)
    assert torch.allclose(class_weights(shares, 0.0), torch.ones(8))


def test_the_loss_is_least_where_the_probabilities_are_the_votes() -> None:
    shares = torch.tensor([[0.5, 0.3, 0.2, 0, 0, 0, 0, 0]])
    best = (shares + 1e-9).log()
    entropy = -(shares[shares > 0] * shares[shares > 0].log()).sum()
    assert vote_loss(best, shares, torch.ones(8)) == pytest.approx(float(entropy), abs=1e-4)
    assert vote_loss(best.flip(1), shares, torch.ones(8)) > entropy + 1


def test_of_mirrored_windows_the_mirrored_weights_are_wanted() -> None:
    weights = torch.rand(2, 52, generator=torch.Generator().manual_seed(0))
    predicted = torch.stack([weights[0], weights[1][list(ARKIT_MIRROR)]])
    assert arkit_loss(predicted, weights, torch.tensor([False, True])) == 0
    assert arkit_loss(predicted, weights, torch.tensor([True, True])) > 0
