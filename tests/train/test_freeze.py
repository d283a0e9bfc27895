"""Frozen networks stand still, and are what they were afterwards."""

import pytest
import torch
from torch import nn

from smirk3d.train.freeze import freeze


@pytest.fixture
def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Sequential(nn.Dropout(0.5), nn.Conv2d(4, 2, 1)))


def snapshot(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def images() -> torch.Tensor:
    return torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0), requires_grad=True)


def test_statistics_and_weights_stand_still_and_the_input_still_gets_its_gradient(network):
    before, given = snapshot(network), images()
    with freeze(network):
        loss = network(given).square().sum()
    loss.backward()
    assert given.grad is not None and given.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    network(images())  # thawed, they move: the comparison above can fail
    assert not torch.equal(network[1].running_mean, before["1.running_mean"])


def test_every_part_is_restored_as_it_was(network):
    network[2].eval()
    network[0].bias.requires_grad_(False)
    with freeze(network, network[1], network):
        assert not any(part.training for part in network.modules())
        assert not any(parameter.requires_grad for parameter in network.parameters())
    assert [part.training for part in network.modules()] == [True, True, True, False, False, False]
    assert [name for name, p in network.named_parameters() if not p.requires_grad] == ["0.bias"]


def test_it_is_restored_after_an_exception_and_when_nested(network):
    with pytest.raises(RuntimeError, match="boom"), freeze(network):
        raise RuntimeError("boom")
    assert network.training and all(parameter.requires_grad for parameter in network.parameters())
    with freeze(network):
        with freeze(network):
            pass
        assert not network.training and not any(parameter.requires_grad for parameter in network.parameters())
    assert network.training
