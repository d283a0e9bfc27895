"""Random degradations of rendered pictures, so that they look like photos of any quality."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from smirk3d.datasets.synthetic.scene_sampling import chance, uniform
from smirk3d.render.appearance import randomization
from smirk3d.render.appearance.randomization import random_background

if TYPE_CHECKING:
    from smirk3d.datasets.synthetic.rendered_faces import RenderAugmentation


def degraded(image: Tensor, variation: RenderAugmentation, generator: torch.Generator) -> np.ndarray:
    """Degrade a picture at random: occlusion, gamma, resolution, sensor, grey, borders, JPEG.

    Args:
        image: (3, S, S) in [0, 1].
        variation: Probabilities.
        generator: Source of the randomness.

    Returns:
        (3, S, S) uint8.
    """
    size = image.shape[-1]
    if chance(variation.occluded, generator):
        image = _occluded(image, generator)
    image = image.clamp(0, 1) ** uniform(0.7, 1.4, generator)
    if chance(variation.coarse, generator):
        few = int(uniform(0.3, 0.9, generator) * size)
        image = F.interpolate(image[None], (few, few), mode="bilinear", antialias=True)
        image = F.interpolate(image, (size, size), mode="bilinear")[0]
    image = randomization.simulate_sensor(image, generator)
    if chance(variation.grey, generator):
        image = image.mean(0, keepdim=True).expand(3, -1, -1)
    if chance(variation.cut, generator):
        turns, beyond = int(torch.randint(4, (), generator=generator)), int(uniform(0.02, 0.2, generator) * size)
        image = image.rot90(turns, (1, 2)).clone()
        image[:, :beyond] = 0
        image = image.rot90(-turns, (1, 2))
    pixels = (image * 255).round().to(torch.uint8)
    return _jpeg(pixels, int(uniform(35, 95, generator))) if chance(variation.jpeg, generator) else pixels.numpy()


def _occluded(image: Tensor, generator: torch.Generator) -> Tensor:
    """Draw an ellipse or a bar of a random colour over the image."""
    size = image.shape[-1]
    x0, y0, turn = (uniform(-1, 1, generator) for _ in range(3))
    width = uniform(0.1, 0.4, generator)
    height = 3.0 if chance(0.3, generator) else width * uniform(0.5, 1.5, generator)
    x, y = torch.linspace(-1, 1, size) - x0, torch.linspace(-1, 1, size)[:, None] - y0
    c, s = math.cos(math.pi * turn), math.sin(math.pi * turn)
    radius = ((x * c + y * s) / width) ** 2 + ((y * c - x * s) / height) ** 2
    cover = ((1 - radius) * width * size / 4 + 0.5).clamp(0, 1)
    color = random_background(size, generator) * uniform(0.4, 1, generator)
    return image + (color - image) * cover


def _jpeg(pixels: Tensor, quality: int) -> np.ndarray:
    """Encode and decode an image (3, S, S) uint8 as JPEG."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy()).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file)).transpose(2, 0, 1)
