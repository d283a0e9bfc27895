"""A plainer description of latents, for comparison: the Mahalanobis distance from those of clean faces."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from smirk3d.fer.occlusion.patches import GRID, N_PATCHES
from smirk3d.fer.occlusion.repair import occlusion_network

COMPONENTS = 64
"""Principal components of the latents that count."""
_BATCH = 32


@dataclass(frozen=True, eq=False)
class MahalanobisDescription:
    """Mean of the latents of each patch position, and what whitens their differences from it.

    Attributes:
        mean: (144, D) float32.
        whiten: (D, K) float32.
    """

    mean: np.ndarray
    whiten: np.ndarray

    @staticmethod
    def fit(latents: np.ndarray) -> MahalanobisDescription:
        """Describe the latents (N, 144, D) of clean faces; the covariance is one for all positions."""
        mean = latents.mean(axis=0)
        rest = (latents - mean).reshape(-1, latents.shape[2])
        values, vectors = np.linalg.eigh(rest.T @ rest / len(rest))
        kept = slice(-min(COMPONENTS, len(values)), None)
        return MahalanobisDescription(mean, vectors[:, kept] / np.sqrt(values[kept].clip(1e-8)))

    def distances(self, latents: np.ndarray) -> np.ndarray:
        """Return the distances (N, 12, 12) of latents (N, 144, D)."""
        return np.linalg.norm((latents - self.mean) @ self.whiten, axis=2).reshape(-1, GRID, GRID)


@torch.inference_mode()
def patch_latents(windows: np.ndarray, weights: Path | None) -> np.ndarray:
    """Return the early and the last latents (N, 144, D) float32 of windows (N, 96, 96) uint8, one after the other."""
    network = occlusion_network(weights)
    parts = []
    for block in torch.from_numpy(windows).split(_BATCH):
        images = block[:, None].float() / 255
        tokens = network.tokenize(images, torch.zeros(len(images), N_PATCHES, dtype=torch.bool)).tokens
        parts.append(torch.cat(network.encode(tokens), 2))
    return torch.cat(parts).numpy()
