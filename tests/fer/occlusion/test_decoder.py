"""The grid of the decoder's squares is removed from what it adds, and nothing that changes more slowly."""

from __future__ import annotations

import torch

from smirk3d.fer.occlusion.decoder import without_grid


def test_every_pattern_with_the_period_of_a_square_vanishes() -> None:
    square = torch.randn(1, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    inside = without_grid((square - square.mean()).repeat(2, 1, 24, 24))[..., 4:-4, 4:-4]
    assert inside.abs().max() < 1e-5


def test_slow_changes_stay() -> None:
    ramp = torch.linspace(-1, 1, 96).expand(1, 1, 96, 96)
    smooth = without_grid(ramp + 0.5)
    assert torch.allclose(smooth[..., 4:-4], (ramp + 0.5)[..., 4:-4], atol=1e-5)
    wave = torch.sin(torch.arange(96) * (2 * torch.pi / 48)).expand(1, 1, 96, 96)
    assert (without_grid(wave) - wave)[..., 4:-4].abs().max() < 0.03
