"""Measures of the face autoencoder on windows."""

from __future__ import annotations

import torch
from torch import Tensor

from smirk3d.fer.vae.network import FaceVAE, Posterior
from smirk3d.train.vae.data import ColourWindows

ACTIVE_NATS = 0.01
"""Mean divergence from the prior above which a dimension counts as active."""
_BLOCK = 64


@torch.no_grad()
def posterior_of(network: FaceVAE, pixels: Tensor) -> Posterior:
    """Return the posterior of windows (N, 3, 64, 64) uint8."""
    parts = [network.encode(block.float() / 255) for block in pixels.split(_BLOCK)]
    return Posterior(torch.cat([each.mean for each in parts]), torch.cat([each.log_variance for each in parts]))


@torch.no_grad()
def validate(network: FaceVAE, windows: ColourWindows) -> dict[str, float]:
    """Return PSNR in dB of reconstructions from the posterior means, the rate in nats, and the active dimensions."""
    posterior = posterior_of(network, windows.pixels)
    decoded = torch.cat([network.decode(block).clamp(0, 1) for block in posterior.mean.split(_BLOCK)])
    error = (decoded - windows.pixels.float() / 255).square().mean((1, 2, 3))
    per_dimension = posterior.kl().mean(0)
    return {
        "psnr_db": float((-10 * error.log10()).mean()),
        "rate_nats": float(per_dimension.sum()),
        "active": float((per_dimension > ACTIVE_NATS).sum()),
    }
