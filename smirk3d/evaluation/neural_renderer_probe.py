"""A neural renderer trained from scratch for a frozen encoder.

Networks that were trained together may share a code that the geometry does not show, so that a renderer reproduces
what the mesh lacks. A renderer that is trained anew can only use the geometry. Source: the evaluation of Retsinas et
al., "3D Facial Expressions through Analysis-by-Neural-Synthesis", CVPR 2024.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from smirk3d.datasets.face_dataset import FaceSet
from smirk3d.evaluation.encoder_predictions import FrozenEncoder
from smirk3d.evaluation.options import RendererTraining
from smirk3d.evaluation.photos import PhotoSet
from smirk3d.masking import MaskingConfig
from smirk3d.networks.neural_renderer import NeuralRenderer
from smirk3d.progress import Progress
from smirk3d.train.losses.losses import photo_loss
from smirk3d.train.losses.perceptual import PerceptualFeatures, perceptual_loss

PHOTO_WEIGHT, PERCEPTUAL_WEIGHT = 10.0, 10.0
"""Those of the second training stage, see docs/method.md."""
BETAS = (0.5, 0.999)
TRAINING_MASKING = MaskingConfig()
FINAL_LR_SHARE = 0.01
"""Of the initial learning rate, at the end of the cosine schedule."""
BATCH_NORM_STEPS = 16
"""Batches over which batch-norm statistics are averaged at the end; the running ones of a short training lag behind."""


def train_renderer(
    encoder: FrozenEncoder,
    photos: PhotoSet,
    features: PerceptualFeatures,
    display: Progress,
    training: RendererTraining,
    seed: int,
) -> NeuralRenderer:
    """Train a new neural renderer on the predictions of a frozen encoder.

    Args:
        encoder: The encoder.
        photos: Training faces.
        features: Network of the perceptual loss.
        display: Counts the faces.
        training: How it is trained.
        seed: Of the initial weights, the order of the faces and the masks.

    Returns:
        The renderer in eval mode; the same for the same arguments on the same machine.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        renderer = NeuralRenderer(training.width).to(encoder.device)
    optimizer = torch.optim.Adam(renderer.parameters(), lr=training.lr, betas=BETAS)
    faces = FaceSet.from_records(photos.records)
    for step in range(training.steps):
        for group in optimizer.param_groups:
            group["lr"] = training.lr * _lr_share(step / training.steps)
        index = _faces_of(step, len(faces), training.batch_size, seed)
        image, target = _render(encoder, renderer, faces, index, generator)
        photo, perceptual = photo_loss(image, target), perceptual_loss(features, image, target)
        optimizer.zero_grad(set_to_none=True)
        (PHOTO_WEIGHT * photo.mean() + PERCEPTUAL_WEIGHT * perceptual.mean()).backward()
        optimizer.step()
        for _ in range(len(target)):
            display.advance()
    with torch.no_grad(), _averaging_batch_norm(renderer):
        for step in range(min(BATCH_NORM_STEPS, training.steps)):
            index = _faces_of(step, len(faces), training.batch_size, seed)
            _render(encoder, renderer, faces, index, generator)
    return renderer.eval()


def _render(
    encoder: FrozenEncoder,
    renderer: NeuralRenderer,
    faces: FaceSet,
    index: np.ndarray,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Return rendered photos and the photos themselves, (B, 3, S, S) each."""
    found = encoder.predict(faces, index)
    return renderer(found.drawn.image, encoder.masked(found, generator, TRAINING_MASKING)), found.batch.image


@contextmanager
def _averaging_batch_norm(network: nn.Module) -> Iterator[None]:
    """Reset the statistics of batch norms, and average those of all batches meanwhile with equal weights."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a cumulative instead of an exponential average
    yield
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _lr_share(progress: float) -> float:
    """Return the share of the learning rate, a cosine, at a progress in [0, 1)."""
    return FINAL_LR_SHARE + (1 - FINAL_LR_SHARE) * (1 + math.cos(math.pi * progress)) / 2


def _faces_of(step: int, count: int, batch_size: int, seed: int) -> np.ndarray:
    """Return the faces (batch_size,) of a step: every epoch all of them once, in another random order."""
    position = np.arange(step * batch_size, (step + 1) * batch_size)
    epochs = np.unique(position // count).tolist()
    orders = {epoch: np.random.default_rng([seed, epoch]).permutation(count) for epoch in epochs}
    return np.array([orders[epoch][k] for epoch, k in zip(position // count, position % count)])
