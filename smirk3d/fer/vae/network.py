"""A convolutional variational autoencoder of face windows, and its file.

Sources: Kingma and Welling, "Auto-Encoding Variational Bayes" (ICLR 2014); Hou et al., "Deep Feature Consistent
Variational Autoencoder" (WACV 2017), for strided convolutions with batch norm and leaky ReLU, and a decoder of nearest
upsampling and 3×3 convolutions.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

SIDE_PX = 64
"""Side of a window in pixels."""
N_LATENT = 128
WIDTHS = (32, 64, 128, 256)
"""Channels of the maps of 32, 16, 8 and 4 pixels."""
LOG_VARIANCE_LIMIT = 10.0
_SLOPE = 0.2
_BOTTLENECK = 64
"""Channels of the map of 4 pixels next to the linear layers, which would hold most parameters without it."""
_LAST_WIDTH = 16
"""Channels of the map of 64 pixels."""
_LAST_STD = 0.01
_CELLS = SIDE_PX // 2 ** len(WIDTHS)


class Posterior(NamedTuple):
    """Gaussians of the latent codes of B windows, independent between dimensions.

    Attributes:
        mean: (B, 128).
        log_variance: (B, 128).
    """

    mean: Tensor
    log_variance: Tensor

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """Return a random code (B, 128) for each window."""
        noise = torch.randn(self.mean.shape, generator=generator)
        return self.mean + (self.log_variance / 2).exp() * noise

    def kl(self) -> Tensor:
        """Return the divergence (B, 128) of each dimension from the standard normal distribution, in nats."""
        return (self.mean**2 + self.log_variance.exp() - 1 - self.log_variance) / 2


class FaceVAE(nn.Module):
    """Encoder and decoder of colour windows of 64 pixels.

    Attributes:
        latent_mean: (128,) mean of the posterior means of the training faces.
        latent_factor: (128, 128) lower triangle L with L Lᵀ their covariance; codes are sampled from this Gaussian.
        directions: (K, 128) attribute vectors of `smirk3d.fer.vae.attributes.PACKAGED`, for a change of one unit.
    """

    latent_mean: Tensor
    latent_factor: Tensor
    directions: Tensor

    def __init__(self, n_directions: int = 0) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            *_downsampling((3, *WIDTHS)), *_layers(nn.Conv2d(WIDTHS[-1], _BOTTLENECK, 1, bias=False), _BOTTLENECK)
        )
        self.posterior = nn.Linear(_BOTTLENECK * _CELLS**2, 2 * N_LATENT)
        self.start = nn.Linear(N_LATENT, _BOTTLENECK * _CELLS**2)
        self.decoder = nn.Sequential(
            *_layers(nn.Conv2d(_BOTTLENECK, WIDTHS[-1], 1, bias=False), WIDTHS[-1]),
            *_upsampling((*reversed(WIDTHS), _LAST_WIDTH)),
            _last_convolution(),
        )
        self.register_buffer("latent_mean", torch.zeros(N_LATENT))
        self.register_buffer("latent_factor", torch.eye(N_LATENT))
        self.register_buffer("directions", torch.zeros(n_directions, N_LATENT))

    def encode(self, images: Tensor) -> Posterior:
        """Return the posterior of images (B, 3, 64, 64), RGB in [0, 1]."""
        mean, log_variance = self.posterior(self.encoder(2 * images - 1).flatten(1)).float().chunk(2, 1)
        return Posterior(mean, log_variance.clamp(-LOG_VARIANCE_LIMIT, LOG_VARIANCE_LIMIT))

    def decode(self, latents: Tensor) -> Tensor:
        """Return images (B, 3, 64, 64) of codes (B, 128); RGB, not clamped to [0, 1]."""
        maps = self.start(latents).unflatten(1, (_BOTTLENECK, _CELLS, _CELLS))
        return (self.decoder(maps) + 1) / 2

    def sample(self, count: int, generator: torch.Generator, temperature: float = 1.0) -> Tensor:
        """Return random codes (count, 128) of the Gaussian of the training faces.

        Args:
            count: Number of codes.
            generator: Of the random numbers.
            temperature: Factor of the standard deviation.
        """
        noise = torch.randn(count, N_LATENT, generator=generator)
        return self.latent_mean + temperature * noise @ self.latent_factor.T


def _last_convolution() -> nn.Conv2d:
    """Return the layer of the colours, with small weights, so that the first images are even and not noise."""
    layer = nn.Conv2d(_LAST_WIDTH, 3, 3, padding=1)
    nn.init.normal_(layer.weight, 0.0, _LAST_STD)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


def _layers(convolution: nn.Conv2d, channels: int) -> list[nn.Module]:
    return [convolution, nn.BatchNorm2d(channels), nn.LeakyReLU(_SLOPE, inplace=True)]


def _downsampling(channels: Sequence[int]) -> list[nn.Module]:
    """Return layers that halve the resolution between each two numbers of channels."""
    return [
        layer
        for n_in, n_out in itertools.pairwise(channels)
        for layer in _layers(nn.Conv2d(n_in, n_out, 3, stride=2, padding=1, bias=False), n_out)
    ]


def _upsampling(channels: Sequence[int]) -> list[nn.Module]:
    """Return layers that double the resolution between each two numbers of channels."""
    return [
        layer
        for n_in, n_out in itertools.pairwise(channels)
        for layer in (
            nn.Upsample(scale_factor=2),
            *_layers(nn.Conv2d(n_in, n_out, 3, padding=1, bias=False), n_out),
        )
    ]
