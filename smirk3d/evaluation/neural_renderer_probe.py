"""A neural renderer trained from nothing for a frozen encoder.

Networks that were trained together may agree on a language of their own: a renderer then paints what the mesh does
not show. One that is trained anew can only use what the geometry says. Source: the evaluation of SMIRK (METHOD).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from smirk3d.datasets.face_dataset import FaceSet
from smirk3d.evaluation.encoder_predictions import FrozenEncoder
from smirk3d.evaluation.photos import PhotoSet
from smirk3d.masking import MaskingConfig
from smirk3d.networks.neural_renderer import NeuralRenderer
from smirk3d.progress import Progress
from smirk3d.train.losses.losses import photo_loss
from smirk3d.train.losses.perceptual import PerceptualFeatures, perceptual_loss

PHOTO_WEIGHT, PERCEPTUAL_WEIGHT = 10.0, 10.0
"""METHOD section 7, stage 2."""
BETAS = (0.5, 0.999)
TRAINING_MASKING = MaskingConfig()
LAST_SHARE = 0.01
"""Of the learning rate, at the end of the cosine."""
SETTLING_STEPS = 16
"""Batches over which the batch norms' statistics are averaged at the end; those of a short training lag behind."""


@dataclass(frozen=True)
class RendererTraining:
    """How a renderer is trained. Raises `ValueError` for a number out of its range.

    Attributes:
        width: Channels of the first level. steps: Batches. batch_size: Faces in each. lr: First learning rate.
    """

    width: int = 8
    steps: int = 200
    batch_size: int = 4
    lr: float = 1e-3

    def __post_init__(self) -> None:
        if min(self.width, self.steps, self.batch_size) < 1 or not self.lr > 0:
            raise ValueError(f"a number is out of its range: {self}")

    @property
    def faces(self) -> int:
        """Faces that are shown in all."""
        return self.steps * self.batch_size


def train_renderer(
    eye: FrozenEncoder,
    photos: PhotoSet,
    features: PerceptualFeatures,
    display: Progress,
    training: RendererTraining,
    seed: int,
) -> NeuralRenderer:
    """Train a new neural renderer on what a frozen encoder sees.

    Args:
        eye: The encoder. photos: To learn from. features: Of the perceptual loss. display: Is told of each face.
        training: How. seed: Of the first weights, the order of the faces and the masks.

    Returns:
        The renderer in eval mode; the same for the same arguments on the same machine.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        renderer = NeuralRenderer(training.width).to(eye.device)
    optimizer = torch.optim.Adam(renderer.parameters(), lr=training.lr, betas=BETAS)
    faces = FaceSet.from_records(photos.records)
    for step in range(training.steps):
        for group in optimizer.param_groups:
            group["lr"] = training.lr * _share(step / training.steps)
        index = _faces_of(step, len(faces), training.batch_size, seed)
        painted, target = _painted(eye, renderer, faces, index, generator)
        photo, perceptual = photo_loss(painted, target), perceptual_loss(features, painted, target)
        optimizer.zero_grad(set_to_none=True)
        (PHOTO_WEIGHT * photo.mean() + PERCEPTUAL_WEIGHT * perceptual.mean()).backward()
        optimizer.step()
        for _ in range(len(target)):
            display.advance()
    with torch.no_grad(), _averaging(renderer):
        for step in range(min(SETTLING_STEPS, training.steps)):
            index = _faces_of(step, len(faces), training.batch_size, seed)
            _painted(eye, renderer, faces, index, generator)
    return renderer.eval()


def _painted(
    eye: FrozenEncoder, renderer: NeuralRenderer, faces: FaceSet, index: np.ndarray, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return what the renderer makes of faces and what it should, (B, 3, S, S) each."""
    seen = eye.see(faces, index)
    return renderer(seen.drawn.image, eye.masked(seen, generator, TRAINING_MASKING)), seen.batch.image


@contextmanager
def _averaging(network: nn.Module) -> Iterator[None]:
    """Let batch norms forget their statistics, and average those of all batches seen meanwhile alike."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    yield
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _share(progress: float) -> float:
    """Return the share of the learning rate, a cosine, at a progress in [0, 1)."""
    return LAST_SHARE + (1 - LAST_SHARE) * (1 + math.cos(math.pi * progress)) / 2


def _faces_of(step: int, count: int, batch_size: int, seed: int) -> np.ndarray:
    """Return the faces (batch_size,) of a step: all of them once in random order, then again in another order."""
    place = np.arange(step * batch_size, (step + 1) * batch_size)
    epochs = np.unique(place // count).tolist()
    orders = {epoch: np.random.default_rng([seed, epoch]).permutation(count) for epoch in epochs}
    return np.array([orders[epoch][k] for epoch, k in zip(place // count, place % count)])
