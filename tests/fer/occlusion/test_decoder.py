"""The grid of the patches is removed from what it adds, and nothing that changes more slowly."""

from __future__ import annotations

import torch

from smirk3d.fer.occlusion.decoder import without_grid


def test_every_pattern_with_the_period_of_a_patch_vanishes() -> None:
    patch = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    inside = without_grid((patch - patch.mean()).repeat(2, 1, 12, 12))[..., 8:-8, 8:-8]
    assert inside.abs().max() < 1e-5


def test_slow_changes_stay() -> None:
    ramp = torch.linspace(-1, 1, 96).expand(1, 1, 96, 96)
    smooth = without_grid(ramp + 0.5)
    assert torch.allclose(smooth[..., 8:-8], (ramp + 0.5)[..., 8:-8], atol=1e-5)
    wave = torch.sin(torch.arange(96) * (2 * torch.pi / 96)).expand(1, 1, 96, 96)
    assert (without_grid(wave) - wave)[..., 8:-8].abs().max() < 0.02
