"""Random appearances, lights, backgrounds and cameras: determined by the seed, and in range."""

import pytest
import torch

from smirk3d.render.appearance.randomization import random_appearance, random_background, random_light, simulate_sensor


@pytest.mark.parametrize("make", [random_appearance, random_light, lambda g: random_background(32, g)])
def test_random_parts_depend_on_the_seed_alone(make):
    def values(seed: int) -> list:
        made = make(torch.Generator().manual_seed(seed))
        parts = [made] if isinstance(made, torch.Tensor) else vars(made).values()
        return [part.tolist() if isinstance(part, torch.Tensor) else part for part in parts]

    assert values(0) == values(0) != values(1)


def test_random_parts_stay_in_range():
    for seed in range(30):
        generator = torch.Generator().manual_seed(seed)
        appearance, light = random_appearance(generator), random_light(generator)
        for color in (
            appearance.skin,
            appearance.lips,
            appearance.brows,
            appearance.iris,
            appearance.sclera,
            appearance.hair,
            appearance.teeth,
        ):
            assert len(color) == 3 and all(0 <= c <= 1 for c in color)
        assert 0 <= light.direct <= 1 and light.sky >= 0 and light.ambient >= 0 and light.highlight >= 0
        background = random_background(24, generator)
        assert background.shape == (3, 24, 24) and background.min() >= 0 and background.max() <= 1


def test_the_simulated_sensor_blurs_and_adds_noise_and_keeps_the_mean():
    image = torch.zeros(3, 64, 64)
    image[:, :, 32:] = 0.8
    grey_count = 0
    for seed in range(20):
        degraded = simulate_sensor(image, torch.Generator().manual_seed(seed))
        assert degraded.shape == image.shape and degraded.min() >= 0 and degraded.max() <= 1
        assert abs(float(degraded[:, :, 40:].mean()) - 0.8) < 0.01
        assert degraded.equal(simulate_sensor(image, torch.Generator().manual_seed(seed)))
        assert float((degraded[0, :, 32] - degraded[0, :, 31]).mean()) < 0.81
        grey_count += degraded[0].equal(degraded[1])
    assert 0 < grey_count < 15
