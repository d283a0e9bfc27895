"""What is learned after the training: the distribution of the codes, and attribute vectors."""

from __future__ import annotations

import numpy as np
import torch

from smirk3d.fer.vae.attributes import PACKAGED, attribute_values, packaged_directions
from smirk3d.fer.vae.network import N_LATENT, FaceVAE
from smirk3d.train.vae.data import ColourWindows
from smirk3d.train.vae.validation import posterior_of

_COVARIANCE_FLOOR = 1e-4


def completed(network: FaceVAE, faces: ColourWindows) -> FaceVAE:
    """Return the network with the distribution of the codes of photos and the packaged attribute vectors.

    Args:
        network: The trained network.
        faces: Photographed training faces.
    """
    result = FaceVAE(len(PACKAGED)).eval().requires_grad_(False)
    result.load_state_dict(network.state_dict() | {"directions": result.directions})
    codes = posterior_of(result, faces.pixels).mean.double().numpy()
    result.latent_mean.copy_(torch.from_numpy(codes.mean(axis=0)))
    covariance = np.cov(codes, rowvar=False) + _COVARIANCE_FLOOR * np.eye(N_LATENT)
    result.latent_factor.copy_(torch.from_numpy(np.linalg.cholesky(covariance)))
    values = attribute_values(faces.weights.double().numpy())
    result.directions.copy_(torch.from_numpy(packaged_directions(codes, values, _light(faces.pixels))))
    return result


def _light(pixels: torch.Tensor) -> np.ndarray:
    """Return brightness and contrast of windows (N, 3, S, S) uint8, and how much lighter their left half is, (N, 3)."""
    luma = pixels.float().mean(1)
    sides = luma[..., : luma.shape[2] // 2].mean((1, 2)) - luma[..., luma.shape[2] // 2 :].mean((1, 2))
    return torch.stack([luma.mean((1, 2)), luma.std((1, 2)), sides], 1).double().numpy()
