"""Faster copies of networks compute the same."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from smirk3d.networks.inference import PointwiseConv2d, folded


class Network(nn.Module):
    """Convolutions of three kinds, with batch norms."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.wide = nn.Conv2d(8, 16, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(16)
        self.strided = nn.Conv2d(16, 8, 1, 2, groups=2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.strided(self.bn2(self.wide(self.bn1(self.conv(images)).relu())))


def network() -> Network:
    torch.manual_seed(0)
    made = Network()
    for norm in (made.bn1, made.bn2):
        nn.init.normal_(norm.running_mean)
        nn.init.uniform_(norm.running_var, 0.5, 2)
    return made.eval()


@pytest.mark.parametrize("batch", [1, 3, 20])
@pytest.mark.parametrize("has_gradient", [False, True])
def test_folded_network_is_equal(batch: int, has_gradient: bool) -> None:
    images = torch.randn(batch, 3, 13, 10)
    slow = network()
    fast = folded(slow, Network)
    assert isinstance(fast.wide, PointwiseConv2d) and isinstance(fast.strided, PointwiseConv2d)
    with torch.set_grad_enabled(has_gradient):
        torch.testing.assert_close(fast(images), slow(images), atol=1e-5, rtol=1e-5)


def test_folded_network_can_be_traced_and_has_gradients_in_its_input() -> None:
    images = torch.randn(2, 3, 8, 8, requires_grad=True)
    fast = folded(network(), Network)
    fast(images).sum().backward()
    assert images.grad is not None and float(images.grad.abs().sum()) > 0
    with torch.no_grad():
        traced = torch.jit.trace(fast, images.detach())
        assert "mkldnn" not in str(traced.inlined_graph)
        torch.testing.assert_close(traced(images.detach()), fast(images.detach()), atol=1e-5, rtol=1e-5)
