"""A linear model of face windows, and the most probable face for the patches that are visible."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from smirk3d.fer.occlusion.patches import GRID, N_PATCHES

MODEL_PX = 48
"""Side of the window that the model describes."""
COMPONENTS = 128
"""Directions of the model, two of them brightness and contrast."""
CELL_PX = MODEL_PX // GRID
"""Side of a patch in the model."""
_OVERSAMPLING = 20
_BRIGHTNESS, _CONTRAST = 0.5, 0.3
"""Deviations of brightness and contrast about those of the visible pixels."""


class LinearFace(nn.Module):
    """Probabilistic principal components: a face is `mean + basis z + noise`, z and noise normally distributed.

    Sources: Tipping and Bishop, "Probabilistic Principal Component Analysis", 1999; Everson and Sirovich,
    "Karhunen-Loève Procedure for Gappy Data", 1995, for faces of which only a part is known; Halko et
    al., "Finding Structure with Randomness", 2011, for the directions.

    Attributes:
        mean: (144, 16) pixels of each patch of 4 by 4 pixels.
        basis: (144, 16, K) directions, their lengths the deviations.
        noise: () variance of a pixel about the model.
    """

    mean: Tensor
    basis: Tensor
    noise: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(N_PATCHES, CELL_PX**2))
        self.register_buffer("basis", torch.zeros(N_PATCHES, CELL_PX**2, COMPONENTS))
        self.register_buffer("noise", torch.tensor(1.0))

    @torch.no_grad()
    def learn(self, windows: Tensor) -> None:
        """Set the model by windows (N, 1, 48, 48) of mean 0 and deviation 1, and their mirror images."""
        pixels = windows.flatten(1)
        mirror = torch.arange(MODEL_PX**2).view(MODEL_PX, MODEL_PX).flip(1).flatten()
        mean = (pixels.mean(0) + pixels.mean(0)[mirror]) / 2
        centered = pixels - mean
        covariance = centered.T @ centered / len(pixels)
        covariance = (covariance + covariance[mirror][:, mirror]) / 2
        kept = COMPONENTS - 2
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            vectors, values, _ = torch.svd_lowrank(covariance, kept + _OVERSAMPLING, niter=4)
        vectors, values = vectors[:, :kept], values[:kept]
        self.noise.fill_(float((covariance.trace() - values.sum()) / (len(covariance) - kept)))
        directions = vectors * (values - self.noise).clamp(min=0).sqrt()
        light = torch.stack([torch.full_like(mean, _BRIGHTNESS), _CONTRAST * mean], 1)
        everything = torch.cat([mean[:, None], directions, light], 1)  # (2304, 1 + K)
        cells = model_patches(everything.T.reshape(-1, 1, MODEL_PX, MODEL_PX)).permute(1, 2, 0)
        self.mean.copy_(cells[..., 0])
        self.basis.copy_(cells[..., 1:])

    @torch.no_grad()
    def fit(self, windows: Tensor, hidden: Tensor) -> Tensor:
        """Return the most probable whole windows (B, 1, 48, 48) for the visible patches.

        Solves `(noise + Bᵀ B) z = Bᵀ (x - mean)` over visible pixels.

        Args:
            windows: (B, 1, 48, 48) normalised.
            hidden: (B, 144) bool.
        """
        visible = (~hidden).float()
        rest = (model_patches(windows) - self.mean) * visible[..., None]
        size = self.basis.shape[2]
        products = torch.einsum("pdk,pdl->pkl", self.basis, self.basis).flatten(1)
        gram = (visible @ products).view(-1, size, size) + self.noise * torch.eye(size)
        target = rest.flatten(1) @ self.basis.flatten(0, 1)
        z = torch.linalg.solve(gram, target)
        cells = self.mean + torch.einsum("pdk,bk->bpd", self.basis, z)
        return from_model_patches(cells)


def model_patches(windows: Tensor) -> Tensor:
    """Return the patches (B, 144, 16) of windows (B, 1, 48, 48)."""
    cells = windows.reshape(-1, GRID, CELL_PX, GRID, CELL_PX).transpose(2, 3)
    return cells.reshape(-1, N_PATCHES, CELL_PX**2)


def from_model_patches(cells: Tensor) -> Tensor:
    """Return windows (B, 1, 48, 48) of their patches (B, 144, 16)."""
    grid = cells.reshape(-1, GRID, GRID, CELL_PX, CELL_PX).transpose(2, 3)
    return grid.reshape(-1, 1, MODEL_PX, MODEL_PX)
