"""What shapes tell of sex, age and ancestry."""

import pytest
import torch

from smirk3d.authoring.macro_regression import TRAITS, MacroRegression, macro_regression, regress


def test_a_linear_dependence_and_what_it_leaves_open_are_found():
    random = torch.Generator().manual_seed(0)
    shape = torch.randn(20000, 6, generator=random)
    weights = torch.randn(6, 2, generator=random) / 10
    traits = 0.4 + shape @ weights + 0.1 * torch.randn(20000, 2, generator=random)
    found = regress(shape, traits)
    # The penalty shrinks the weights by a twentieth.
    torch.testing.assert_close(found.weights, weights / 1.05, atol=5e-3, rtol=0)
    torch.testing.assert_close(found.mean, torch.full((2,), 0.4), atol=0.01, rtol=0)
    torch.testing.assert_close(found.spread, torch.full((2,), 0.1), atol=0.01, rtol=0)


def test_traits_follow_the_shape_and_stay_in_their_range():
    regression = MacroRegression(torch.eye(4) / 4, torch.full((4,), 0.5), torch.full((4,), 0.05))
    generator = torch.Generator().manual_seed(1)
    high, low = (regression.sample(value * torch.ones(4), generator) for value in (1.0, -9.0))
    assert set(high) == set(TRAITS) and all(value == 0.0 for value in low.values())
    assert all(0.5 < value <= 1 for value in high.values())


@pytest.mark.slow
def test_the_shapes_of_makehumans_people_tell_their_sex(open_head):
    found = macro_regression(open_head, samples=512)
    assert found.weights.shape == (open_head.n_shape, len(TRAITS))
    # Sex is nearly 0 or 1, so its standard deviation is about 0.4.
    assert found.spread.max() < 0.15
    assert found.mean[0] == pytest.approx(0.5, abs=0.02)
