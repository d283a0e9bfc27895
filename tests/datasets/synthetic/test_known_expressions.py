"""Expressions in which every blendshape varies."""

import torch

from smirk3d.datasets.synthetic.known_expressions import known_expressions
from smirk3d.head.arkit import ARKIT_NAMES


def test_known_expressions_vary_in_every_blendshape():
    weights = known_expressions(52, torch.Generator().manual_seed(0))
    assert weights.shape == (52, 52) and weights.min() >= 0 and weights.max() <= 1
    assert (weights.std(dim=0) > 0.02).all()
    jaw, close = ARKIT_NAMES.index("jawOpen"), ARKIT_NAMES.index("mouthClose")
    assert (weights[:, jaw] >= weights[:, close]).all() and weights[:, close].max() > 0.3
    assert not torch.equal(weights, known_expressions(52, torch.Generator().manual_seed(1)))
