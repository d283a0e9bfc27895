"""The mean of branches: `smirk3d/train/recipes/average_branches.py`."""

import pytest
import torch

from smirk3d.train.recipes.average_branches import averaged


def state(value, count):
    return {"weight": torch.full((2, 3), value), "seen": torch.tensor(count)}


def test_mean_by_shares_keeps_types_and_the_first_count():
    mean = averaged([state(1.0, 5), state(3.0, 7)], (0.25, 0.75))
    torch.testing.assert_close(mean["weight"], torch.full((2, 3), 2.5))
    assert mean["seen"] == 5 and mean["seen"].dtype == torch.int64


@pytest.mark.parametrize("shares", [(1.0,), (0.5, 0.6)])
def test_wrong_shares_are_refused(shares):
    with pytest.raises(ValueError, match="sum to 1"):
        averaged([state(1.0, 5), state(3.0, 7)], shares)


def test_other_networks_are_refused():
    with pytest.raises(ValueError, match="differ"):
        averaged([state(1.0, 5), {"weight": torch.ones(3, 3), "seen": torch.tensor(1)}], (0.5, 0.5))
