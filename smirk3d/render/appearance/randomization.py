"""Random appearances, lights, backgrounds and cameras, for domain randomisation."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from smirk3d.render.appearance.procedural_face import Appearance, Light


def random_appearance(generator: torch.Generator) -> Appearance:
    """Return random colours of skin, lips, brows, eyes and hair.

    Args:
        generator: On the CPU.
    """

    def number(low: float, high: float) -> float:
        return float(torch.rand((), generator=generator)) * (high - low) + low

    tone = number(0, 1)
    light, dark = (0.93, 0.76, 0.67), (0.32, 0.20, 0.14)
    skin = tuple(a * (1 - tone) + b * tone + number(-0.04, 0.04) for a, b in zip(light, dark))
    rosy, lip = number(0.1, 0.5), number(0.6, 0.95)
    lips = (skin[0] * lip + 0.05 * rosy, skin[1] * lip * (1 - rosy), skin[2] * lip * (1 - 0.8 * rosy))
    darkness = number(0.05, 0.45) * (1 - 0.6 * tone)
    hair = (darkness, darkness * number(0.6, 0.95), darkness * number(0.35, 0.9))
    brows = (hair[0] * number(0.6, 1.2), hair[1] * number(0.6, 1.2), hair[2] * number(0.6, 1.2))
    irises = [(0.30, 0.18, 0.08), (0.15, 0.09, 0.05), (0.35, 0.50, 0.60), (0.35, 0.42, 0.28)]
    iris = irises[int(number(0, 3.999))]
    white = number(0.78, 0.95)
    return Appearance(
        skin=skin,  # type: ignore[arg-type]
        lips=lips,
        brows=brows,
        iris=iris,
        sclera=(white, white, white),
        hair=hair,
        brow_strength=number(0.45, 0.95),
        brow_width=number(0.6, 1.4),
        lip_strength=number(0.35, 1.0),
        hair_strength=float(number(0, 1) > 0.25),
        mottle_strength=number(0, 0.04),
        mottle=torch.randn(3, 4, generator=generator),
    )


def random_light(generator: torch.Generator) -> Light:
    """Return a random light, mostly from the front.

    Args:
        generator: On the CPU.
    """
    draw = torch.rand(5, generator=generator).tolist()
    direction = torch.randn(3, generator=generator) * torch.tensor([1.0, 0.7, 0.3]) + torch.tensor([0, 0.3, 1.0])
    direct = 0.3 + 0.5 * draw[0]
    return Light(direction, direct, 0.25 * draw[1], 0.95 - direct + 0.2 * (draw[2] - 0.5), 0.25 * draw[3])


def random_background(size: int, generator: torch.Generator) -> Tensor:
    """Return a random background of smooth colour patches.

    Args:
        size: S, side in pixels.
        generator: On the CPU.

    Returns:
        (3, S, S) float in [0, 1].
    """
    cells = 2 + int(torch.randint(0, 6, (), generator=generator))
    coarse = torch.rand(1, 3, cells, cells, generator=generator)
    grey = coarse.mean(1, keepdim=True)
    saturation = float(torch.rand((), generator=generator)) * 0.7
    coarse = grey + saturation * (coarse - grey)
    return F.interpolate(coarse, size=(size, size), mode="bicubic", align_corners=True)[0].clamp(0, 1)


def simulate_sensor(image: Tensor, generator: torch.Generator) -> Tensor:
    """Degrade an image as a random camera does: Gaussian blur, noise and, in one of five images, no colour.

    Args:
        image: (3, H, W) float in [0, 1].
        generator: On the CPU.

    Returns:
        (3, H, W) float in [0, 1].
    """
    draw = torch.rand(3, generator=generator).tolist()
    sigma = 0.2 + 1.0 * draw[0]
    radius = torch.arange(-3, 4, dtype=image.dtype)
    kernel = torch.exp(-(radius**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(3, 1, 1, 7)
    padded = F.pad(image[None], (3, 3, 3, 3), mode="replicate")
    image = F.conv2d(F.conv2d(padded, kernel, groups=3), kernel.mT, groups=3)[0]
    image = image + torch.randn(image.shape, generator=generator) * 0.02 * draw[1]
    if draw[2] > 0.8:
        image = image.mean(0, keepdim=True).expand(3, -1, -1)
    return image.clamp(0, 1)
