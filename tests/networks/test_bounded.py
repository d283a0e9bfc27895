"""Clamping with a projected gradient."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from smirk3d.networks.bounded import bounded

INFINITY = float("inf")
LOW, HIGH = torch.tensor([0.0, -INFINITY, 0.0, -0.2]), torch.tensor([1.0, INFINITY, INFINITY, 0.2])


def gradient(values: Tensor, upstream: Tensor) -> Tensor:
    values = values.clone().requires_grad_()
    bounded(values, LOW, HIGH).backward(upstream)
    assert values.grad is not None
    return values.grad


@given(st.lists(st.floats(-3, 3, width=32), min_size=4, max_size=4))
def test_values_equal_torch_clamp_with_and_without_gradient(entries: list[float]) -> None:
    values = torch.tensor(entries)
    expected = torch.stack([v.clamp(low, high) for v, low, high in zip(values, LOW, HIGH)])
    assert torch.equal(bounded(values, LOW, HIGH), expected)
    assert torch.equal(bounded(values.requires_grad_(), LOW, HIGH), expected)


def test_every_gradient_passes_inside_the_bounds() -> None:
    upstream = torch.tensor([3.0, -2.0, 1.0, -5.0])
    assert torch.equal(gradient(torch.tensor([0.5, 9.0, 7.0, 0.1]), upstream), upstream)


def test_only_gradients_that_lead_back_pass_outside_the_bounds() -> None:
    below = torch.tensor([-1.0, -1.0, -1.0, -1.0])
    assert gradient(below, -torch.ones(4)).tolist() == [-1, -1, -1, -1]  # descent raises: back inside
    assert gradient(below, torch.ones(4)).tolist() == [0, 1, 0, 0]  # descent lowers: further out, save the free one
    above = torch.tensor([2.0, 2.0, 2.0, 2.0])
    assert gradient(above, torch.ones(4)).tolist() == [1, 1, 1, 1]
    assert gradient(above, -torch.ones(4)).tolist() == [0, -1, -1, 0]


def test_gradient_descent_returns_from_far_outside_and_stays_at_the_bound() -> None:
    target = torch.tensor([0.5, 0.5, 0.0, 0.2])
    values = torch.tensor([-2.0, 3.0, -2.0, 5.0]).requires_grad_()
    optimiser = torch.optim.SGD([values], lr=0.2)
    for _ in range(60):
        optimiser.zero_grad()
        (bounded(values, LOW, HIGH) - target).square().sum().backward()
        optimiser.step()
    assert torch.allclose(bounded(values, LOW, HIGH), target, atol=1e-3)
    assert values.detach().abs().max() <= 5.0
