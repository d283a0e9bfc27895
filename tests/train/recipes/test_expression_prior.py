"""Calm photos are chosen by what a regressor reads in them."""

from __future__ import annotations

import torch

from smirk3d.estimation.expression_prior import BlendshapeRegressor
from smirk3d.head.arkit import ARKIT_NAMES, GAZE_NAMES
from smirk3d.train.recipes.expression_prior import neutral_rows

COUNT = len(ARKIT_NAMES)


def _identity() -> BlendshapeRegressor:
    return BlendshapeRegressor(torch.zeros(COUNT), torch.eye(COUNT), *torch.zeros(3, COUNT))


def test_the_faces_with_the_least_expression_are_taken() -> None:
    strength = torch.tensor([0.5, 0.1, 0.9, 0.2, 0.7])
    features = strength[:, None].expand(-1, COUNT)
    assert set(neutral_rows(_identity(), features, 0.4).tolist()) == {1, 3}
    assert neutral_rows(_identity(), features, 0.01).tolist() == [1]


def test_gaze_is_no_expression() -> None:
    features = torch.rand(2, COUNT, generator=torch.Generator().manual_seed(0)).sort(0).values
    features[0, [ARKIT_NAMES.index(name) for name in GAZE_NAMES]] = 1.0
    assert neutral_rows(_identity(), features, 0.5).tolist() == [0]


def test_one_action_with_large_responses_does_not_decide() -> None:
    features = torch.tensor([[0.1], [0.2]]).repeat(1, COUNT)
    features[0, ARKIT_NAMES.index("jawOpen")] = 100.0
    assert neutral_rows(_identity(), features, 0.5).tolist() == [0]
