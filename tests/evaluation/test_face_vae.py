"""Measures of the face autoencoder."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from torch import nn

from smirk3d.evaluation.face_vae import attribute_lines, perceptual_distance
from smirk3d.evaluation.face_vae_edits import EditReadings, effect_text
from smirk3d.fer.vae.network import Posterior
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.networks.backbones import create_backbone
from smirk3d.train.losses.perceptual import backbone_features
from smirk3d.train.vae.data import ColourWindows

SMILE = [ARKIT_NAMES.index(name) for name in ("mouthSmileLeft", "mouthSmileRight")]


class _Copy(nn.Module):
    """A perfect autoencoder: the code is the window."""

    def __init__(self, noise: float = 0.0) -> None:
        super().__init__()
        self.noise = noise

    def encode(self, images: torch.Tensor) -> Posterior:
        code = images.flatten(1)
        return Posterior(code, torch.zeros_like(code))

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        random = torch.Generator().manual_seed(0)
        return codes.view(-1, 3, 64, 64) + self.noise * torch.randn(len(codes), 3, 64, 64, generator=random)


def test_the_distance_of_a_copy_is_nothing_and_grows_with_noise() -> None:
    torch.manual_seed(0)
    features = backbone_features(create_backbone("tf_efficientnet_lite0_stride16"))
    pixels = torch.randint(60, 200, (4, 3, 64, 64), dtype=torch.uint8)
    found = [perceptual_distance(_Copy(noise), features, pixels) for noise in (0, 0.02, 0.1)]  # type: ignore[arg-type]
    assert found[0] == pytest.approx(0, abs=1e-6) and found[0] < found[1] < found[2]


def test_an_attribute_in_the_pixels_is_found_by_a_classifier() -> None:
    random = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (120, 3, 64, 64), dtype=torch.uint8, generator=random)
    weights = torch.zeros(120, len(ARKIT_NAMES))
    weights[::2, SMILE] = 0.9
    pixels[::2, :, 40:50] = 255
    windows = ColourWindows(pixels, weights)
    lines = attribute_lines(_Copy(), windows, windows)  # type: ignore[arg-type]
    smile = next(line for line in lines if "smile" in line)
    assert "AUC 1.000, balanced accuracy 1.000" in smile and "50 % of 120" in smile
    assert any("frown: too few faces" in line for line in lines)


def test_effects_of_edits_are_told_apart() -> None:
    before = np.zeros((10, len(ARKIT_NAMES)))
    after = before.copy()
    after[:8, SMILE] = 0.4
    after[:, ARKIT_NAMES.index("jawOpen")] = -0.2
    before[9, SMILE] = after[9, SMILE] = 0.8  # no room
    text = effect_text("smile", EditReadings(before, after))
    assert re.search(r"median rise \+0\.40, 0\.3 or more in 89 % of 9 faces", text)
    assert "most: jawOpen -0.20" in text
    full = np.ones_like(before)
    assert effect_text("smile", EditReadings(full, full)) == "no face without it"
