"""What is learned after the training: the distribution of the codes, and attribute vectors."""

from __future__ import annotations

import numpy as np
import torch

from smirk3d.fer.vae.attributes import PACKAGED, attribute_directions, attribute_values
from smirk3d.fer.vae.network import N_LATENT, FaceVAE
from smirk3d.train.vae.data import ColourWindows
from smirk3d.train.vae.validation import posterior_of

_COVARIANCE_FLOOR = 1e-4


def completed(network: FaceVAE, faces: ColourWindows, renders: ColourWindows | None) -> FaceVAE:
    """Return the network with the distribution of the codes of photos and the packaged attribute vectors.

    That a face is rendered is one more attribute of the regression, so that the look of renders is in no vector.

    Args:
        network: The trained network.
        faces: Photographed training faces.
        renders: Rendered training faces; None: none.
    """
    result = FaceVAE(len(PACKAGED)).eval().requires_grad_(False)
    result.load_state_dict(network.state_dict() | {"directions": result.directions})
    codes = posterior_of(result, faces.pixels).mean.double().numpy()
    result.latent_mean.copy_(torch.from_numpy(codes.mean(axis=0)))
    covariance = np.cov(codes, rowvar=False) + _COVARIANCE_FLOOR * np.eye(N_LATENT)
    result.latent_factor.copy_(torch.from_numpy(np.linalg.cholesky(covariance)))
    result.directions.copy_(torch.from_numpy(_directions(result, codes, faces, renders)))
    return result


def _directions(network: FaceVAE, codes: np.ndarray, faces: ColourWindows, renders: ColourWindows | None) -> np.ndarray:
    """Return the attribute vectors (K, 128) of photos and renders together."""
    values = attribute_values(faces.weights.double().numpy())
    is_render = np.zeros(len(faces))
    if renders is not None:
        codes = np.concatenate([codes, posterior_of(network, renders.pixels).mean.double().numpy()])
        values = np.concatenate([values, attribute_values(renders.weights.double().numpy())])
        is_render = np.concatenate([is_render, np.ones(len(renders))])
    return attribute_directions(codes, np.column_stack([values, is_render]))[: len(PACKAGED)]
