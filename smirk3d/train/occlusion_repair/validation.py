"""Measures of the occlusion network on faces it has not learned from."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from smirk3d.fer.network import enlarged
from smirk3d.fer.occlusion.network import OcclusionNetwork
from smirk3d.fer.occlusion.patches import N_PATCHES, SIDE_PX, to_pixels
from smirk3d.metrics.classification import area_under_roc
from smirk3d.train.occlusion_repair.data import FaceWindows, occluded_batch
from smirk3d.train.occlusion_repair.losses import HIDDEN_FROM
from smirk3d.train.occlusion_repair.masks import hidden_order

FACES, HIDDEN_SHARE, _BLOCK = 192, 0.35, 32
"""Faces of each data set that are measured; share of the patches that is hidden from the decoder."""


def validation_images(faces: FaceWindows, count: int | None = FACES) -> Tensor:
    """Return up to `count` faces of each data set, evenly chosen, as images (N, 1, 96, 96) in [0, 1]."""
    chosen = [each[:: max(1, len(each) // count)][:count] if count else each for each in (faces.coarse, faces.fine)]
    return torch.cat([enlarged(each[:, None].float() / 255, SIDE_PX) for each in chosen])


@torch.no_grad()
def clean_distances(network: OcclusionNetwork, images: Tensor) -> Tensor:
    """Return the distances (N, 144) of the patches of images (N, 1, 96, 96)."""
    return torch.cat([network.detect(block) for block in images.split(_BLOCK)])


@torch.no_grad()
def validate(network: OcclusionNetwork, images: Tensor, seed: int) -> dict[str, float]:
    """Return the PSNR in hidden rectangles in dB, and the area under the ROC curve of patches behind learned kinds."""
    generator = torch.Generator().manual_seed(seed)
    order = hidden_order(len(images), 1.0, generator)
    hidden = torch.zeros(len(images), N_PATCHES, dtype=torch.bool)
    hidden.scatter_(1, order[:, : round(HIDDEN_SHARE * N_PATCHES)], True)
    blocks = zip(images.split(_BLOCK), hidden.split(_BLOCK), strict=True)
    rebuilt = torch.cat([network.rebuild(block, covered) for block, covered in blocks])
    area = to_pixels(hidden)
    error = ((rebuilt - images).square() * area).sum((1, 2, 3)) / area.sum((1, 2, 3))
    batch = occluded_batch(images, generator)
    distances = clean_distances(network, batch.images)
    auroc = area_under_roc(distances[batch.shares > HIDDEN_FROM].numpy(), distances[batch.shares == 0].numpy())
    return {"psnr_db": float(-10 * error.clamp(min=1e-9).log10().mean()), "auroc_learned_kinds": float(auroc)}


def radius_of(network: OcclusionNetwork, images: Tensor, share: float) -> float:
    """Return the distance within which a share of the patches of clean images lies."""
    return float(np.quantile(clean_distances(network, images).numpy(), share))
