"""Augmentation of face windows."""

from __future__ import annotations

import pytest
import torch

from smirk3d.fer.network import enlarged
from smirk3d.train.expression_vector.augmentation import augmented
from smirk3d.train.expression_vector.config import FerAugmentConfig

NONE = FerAugmentConfig(
    turn_deg=0, scale=0, shift=0, gamma=0, contrast=0, brightness=0, blur=0, noise=0, jpeg=0, erased=0
)


def _windows(count: int = 16) -> torch.Tensor:
    return torch.randint(1, 256, (count, 48, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_without_changes_only_reflections_are_left() -> None:
    images, flip = augmented(_windows(), 64, NONE, _generator())
    plain = enlarged(_windows()[:, None].float() / 255, 64)
    expected = torch.where(flip[:, None, None, None], plain.flip(3), plain)
    assert flip.any() and not flip.all()
    assert torch.allclose(images, expected, atol=1e-4)


def test_the_generator_decides_and_values_stay_in_range() -> None:
    settings = FerAugmentConfig(jpeg=1, blur=1, erased=1)
    one, same, other = (augmented(_windows(), 64, settings, _generator(seed))[0] for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert one.shape == (16, 1, 64, 64) and one.min() >= 0 and one.max() <= 1


@pytest.mark.parametrize("name", ["turn_deg", "scale", "shift", "gamma", "contrast", "brightness", "noise"])
def test_each_setting_has_an_effect(name: str) -> None:
    strength = {"turn_deg": 20.0}.get(name, 0.3)
    changed, _ = augmented(_windows(), 48, FerAugmentConfig(**{**NONE.__dict__, name: strength}), _generator())
    plain, _ = augmented(_windows(), 48, NONE, _generator())
    assert (changed - plain).abs().mean() > 0.01


def test_erasing_hides_a_rectangle_of_one_grey() -> None:
    images, _ = augmented(_windows(), 48, FerAugmentConfig(**{**NONE.__dict__, "erased": 1.0}), _generator())
    plain, _ = augmented(_windows(), 48, NONE, _generator())
    for image, before in zip(images[:, 0], plain[:, 0]):
        hidden = (image - before).abs() > 1e-6
        assert 0.005 < hidden.float().mean() < 0.35
        assert image[hidden].std() < 1e-5
