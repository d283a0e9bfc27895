"""Random degradations of rendered pictures, so that they look like photos of any quality."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from smirk3d.datasets.synthetic.occluders import TRAINING_KINDS, WORN_KINDS, occlude
from smirk3d.datasets.synthetic.scene_sampling import chance, uniform
from smirk3d.render.appearance import randomization
from smirk3d.render.appearance.randomization import random_background

if TYPE_CHECKING:
    from smirk3d.datasets.synthetic.rendered_faces import RenderAugmentation

WORN_SHARE = 0.5
"""Share of glasses and hair among all occluders."""


def degraded(
    image: Tensor, landmarks_px: np.ndarray, variation: RenderAugmentation, generator: torch.Generator
) -> np.ndarray:
    """Degrade a picture at random: occlusion, gamma, resolution, sensor, grey, borders, JPEG.

    Args:
        image: (3, S, S) in [0, 1].
        landmarks_px: (478, 2) float, of the face.
        variation: Probabilities.
        generator: Source of the randomness.

    Returns:
        (3, S, S) uint8.
    """
    size = image.shape[-1]
    if chance(variation.occluded, generator):
        image = _occluded(image, landmarks_px, generator)
    image = image.clamp(0, 1) ** uniform(0.7, 1.4, generator)
    if chance(variation.coarse, generator):
        few = int(uniform(0.2, 0.9, generator) * size)
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


def _occluded(image: Tensor, landmarks_px: np.ndarray, generator: torch.Generator) -> Tensor:
    """Draw glasses, hair, a hand, a mask or another thing before the face."""
    size = image.shape[-1]
    rng = np.random.default_rng(int(torch.randint(2**31, (), generator=generator)))
    kinds = WORN_KINDS if chance(WORN_SHARE, generator) else TRAINING_KINDS
    kind = kinds[str(rng.choice(list(kinds)))]
    other = (random_background(size, generator).mean(0) * 255).byte().numpy()
    pixels = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    occluded, _ = occlude(pixels, landmarks_px, kind, other, rng)
    return torch.from_numpy(occluded).permute(2, 0, 1).float() / 255


def _jpeg(pixels: Tensor, quality: int) -> np.ndarray:
    """Encode and decode an image (3, S, S) uint8 as JPEG."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy()).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file)).transpose(2, 0, 1)
