"""Losses of the autoencoder, and the control of its rate."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from smirk3d.fer.network import ExpressionNetwork
from smirk3d.train.vae.augmentation import augmented
from smirk3d.train.vae.config import VaeAugmentConfig, VaeDataConfig, VaeObjectiveConfig, VaeTrainConfig
from smirk3d.train.vae.losses import ReconstructionLoss, TrunkFeatures, gradients
from smirk3d.train.vae.task import next_beta


def _images(count: int = 8) -> torch.Tensor:
    return torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def features() -> TrunkFeatures:
    torch.manual_seed(0)
    return TrunkFeatures(ExpressionNetwork())


@pytest.mark.parametrize("kind", ["features", "pixel"])
def test_equal_images_cost_nothing_and_others_about_two(features: TrunkFeatures, kind: str) -> None:
    images = _images()
    loss = ReconstructionLoss(VaeObjectiveConfig(), features if kind == "features" else None, images)
    assert all(term == 0 for term in loss(images, images).values())
    found = loss(images, images.roll(1, 0))
    assert set(found) == ({"feature", "pixel", "gradient"} if kind == "features" else {"pixel"})
    assert next(iter(found.values())) == pytest.approx(2, rel=0.3)  # twice the variance


def test_features_do_not_depend_on_the_light_of_both_images(features: TrunkFeatures) -> None:
    images = _images()
    brighter = 0.3 + 0.5 * images
    first, second = (features(each, each)[-1] for each in (images, brighter))
    assert (first - second).abs().mean() < 0.1 * first.std()
    assert (features(brighter, images)[-1] - first).abs().mean() > 0.1 * first.std()


def test_gradients_of_a_ramp_are_constant() -> None:
    ramp = torch.arange(8.0).expand(1, 1, 8, 8)
    along, across = gradients(ramp)
    assert (along == 1).all() and (across == 0).all()


def test_beta_follows_the_rate() -> None:
    config = VaeTrainConfig(data=VaeDataConfig(Path("faces")))
    wanted = config.objective.rate_nats
    assert next_beta(1e-3, wanted, config) == pytest.approx(1e-3)
    assert next_beta(1e-3, 1.5 * wanted, config) > 1e-3 > next_beta(1e-3, 0.5 * wanted, config)
    assert next_beta(1.0, 1e9, config) == 1.0


def test_grey_windows_are_coloured_and_colours_stay() -> None:
    grey = torch.randint(20, 230, (64, 1, 64, 64), dtype=torch.uint8).expand(-1, 3, -1, -1).contiguous()
    colour = torch.randint(0, 256, (64, 3, 64, 64), dtype=torch.uint8)
    settings = VaeAugmentConfig(tint=1, gamma=0)
    tinted = augmented(grey, settings, torch.Generator().manual_seed(0))
    assert (tinted[:, 0] >= tinted[:, 2]).all() and (tinted[:, 0] - tinted[:, 2]).mean() > 0.05
    kept = augmented(colour, settings, torch.Generator().manual_seed(0))
    plain = colour.float() / 255
    is_same = [torch.allclose(a, b, atol=1e-3) or torch.allclose(a, b.flip(2), atol=1e-3) for a, b in zip(kept, plain)]
    assert all(is_same)
