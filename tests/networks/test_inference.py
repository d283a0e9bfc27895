"""Faster copies of networks compute the same."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from smirk3d.networks.convolutions import FusedConv2d, SameConv2d
from smirk3d.networks.inference import folded, has_bfloat16, use_bfloat16


class Network(nn.Module):
    """Convolutions of three kinds, with batch norms."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.wide = nn.Conv2d(8, 16, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(16)
        self.act2 = nn.ReLU6(inplace=True)
        self.strided = nn.Conv2d(16, 8, 1, 2, groups=2)
        self.act3 = nn.ReLU()
        self.same = SameConv2d(8, 8, 5, 2, groups=8)
        self.act4 = nn.LeakyReLU(0.5)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        wide = self.act2(self.bn2(self.wide(self.bn1(self.conv(images)).relu())))
        return self.act4(self.same(self.act3(self.strided(wide))))


def network() -> Network:
    torch.manual_seed(0)
    made = Network()
    for norm in (made.bn1, made.bn2):
        nn.init.normal_(norm.running_mean)
        nn.init.uniform_(norm.running_var, 0.5, 2)
    return made.eval()


@pytest.mark.parametrize("batch", [1, 3, 20])
@pytest.mark.parametrize("has_gradient", [False, True])
@pytest.mark.parametrize("side", [13, 16])
def test_folded_network_is_equal(batch: int, has_gradient: bool, side: int) -> None:
    images = 4 * torch.randn(batch, 3, side, 16)
    slow = network()
    fast = folded(slow, Network)
    with torch.set_grad_enabled(has_gradient):
        torch.testing.assert_close(fast(images), slow(images), atol=1e-5, rtol=1e-5)
        # Weights that are packed for images of one size also serve others.
        torch.testing.assert_close(fast(images[:1, :, :8]), slow(images[:1, :, :8]), atol=1e-5, rtol=1e-5)


def test_batch_norms_and_relus_are_folded() -> None:
    fast = folded(network(), Network)
    kept = [type(module) for module in fast.children() if not isinstance(module, FusedConv2d | nn.Identity)]
    assert kept == [nn.LeakyReLU]
    fused = [each.activation for each in fast.children() if isinstance(each, FusedConv2d)]
    assert [type(each) for each in fused] == [type(None), nn.ReLU6, nn.ReLU, type(None)]


def test_activations_of_unknown_modules_stay() -> None:
    assert isinstance(folded(network(), nn.Linear).act2, nn.ReLU6)


def test_folded_network_can_be_copied_after_use() -> None:
    images, fast = torch.randn(2, 3, 16, 16), folded(network(), Network)
    with torch.inference_mode():
        before = fast(images)
        assert copy.deepcopy(fast)(images).equal(before)


def test_folded_network_can_be_traced_and_has_gradients_in_its_input() -> None:
    images = torch.randn(2, 3, 8, 8, requires_grad=True)
    fast = folded(network(), Network)
    fast(images).sum().backward()
    assert images.grad is not None and float(images.grad.abs().sum()) > 0
    with torch.no_grad():
        traced = torch.jit.trace(fast, images.detach())
        assert "mkldnn" not in str(traced.inlined_graph)
        torch.testing.assert_close(traced(images.detach()), fast(images.detach()), atol=1e-5, rtol=1e-5)


@pytest.mark.skipif(not has_bfloat16(), reason="the processor has no bfloat16")
def test_bfloat16_rounds_and_does_not_depend_on_the_batch() -> None:
    images, exact = torch.randn(6, 3, 16, 16), folded(network(), Network)
    rounded = folded(network(), Network)
    use_bfloat16(rounded)
    with torch.inference_mode():
        found, expected = rounded(images), exact(images)
        assert found.dtype == torch.bfloat16 and not found.float().equal(expected)
        torch.testing.assert_close(found.float(), expected, atol=0.02 * float(expected.abs().max()), rtol=0)
        assert rounded(images[:1]).equal(found[:1])
    # With gradients it computes exactly.
    assert rounded(images).dtype == torch.float32
