"""Rendered heads from which small networks learn, as crops of faces."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from smirk3d.datasets.cached_renderings import prepared_renderings, renderings_folder
from smirk3d.datasets.config_checks import check_within
from smirk3d.datasets.synthetic.rendered_faces import RenderAugmentation, RenderedFaces
from smirk3d.head.model import HeadModel

_BLOCK = 256


@dataclass(frozen=True)
class RenderedConfig:
    """Rendered heads, which teach the ARKit weights; `smirk3d.datasets.synthetic.rendered_faces`.

    Raises:
        ValueError: A value is out of its range.
    """

    count: int = 16384
    """Number of images; 0: none, and the ARKit weights stay random."""
    seed: int = 22
    """Seed of the images."""
    size: int = 160
    """Side of the rendered crops in pixels."""
    crop_scale: tuple[float, float] = (1.25, 1.6)
    """Range of the side of the crops over the size of the landmarks' box."""
    domain_randomization: float = 1.0
    """Largest strength, in [0, 1], of the randomisation of heads, skins and blendshapes."""
    path: Path | None = None
    """Folder in which the images are kept between runs; null: in the cache."""

    def __post_init__(self) -> None:
        check_within(self, 0, math.inf, "count")
        check_within(self, 64, 512, "size")
        check_within(self, 0, 1, "domain_randomization")


@dataclass(frozen=True, eq=False)
class RenderedCrops:
    """Some rendered crops.

    Attributes:
        images: (B, S, S, 3) uint8 RGB.
        points_px: (B, 478, 2) MediaPipe's landmarks.
        weights: (B, 52) ARKit weights.
    """

    images: np.ndarray
    points_px: np.ndarray
    weights: Tensor


def rendered_crops(settings: RenderedConfig, head: HeadModel) -> Iterator[RenderedCrops]:
    """Yield all crops in their order, rendered where they are not in the cache.

    Args:
        settings: Which images; `count` is positive.
        head: The open head.
    """
    folder = renderings_folder(settings.path)
    variation = RenderAugmentation(crop_scale=settings.crop_scale, domain_randomization=settings.domain_randomization)
    faces = RenderedFaces(head, settings.count, settings.seed, settings.size, folder=folder, variation=variation)
    prepared_renderings(faces, folder, "rendered faces")
    for index in torch.arange(len(faces)).split(_BLOCK):
        batch = faces.batch(index)
        assert batch.target is not None and batch.target.expression is not None
        images = (batch.image * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        points_px = ((batch.landmarks_ndc + 1) / 2 * settings.size).numpy()
        yield RenderedCrops(images, points_px, batch.target.expression)
