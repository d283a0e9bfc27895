"""Reconstruction losses of the autoencoder: features of a frozen network, pixels, image gradients.

Source: Hou et al., "Deep Feature Consistent Variational Autoencoder", WACV 2017.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from smirk3d.fer.network import ExpressionNetwork
from smirk3d.networks.backbones import Backbone
from smirk3d.train.vae.config import VaeObjectiveConfig

_TRUNK_STAGES = 3
"""Stages of the expression trunk that are compared: maps of a half, a half, a quarter and an eighth of the side."""
_MIN_CONTRAST = 0.05


class TrunkFeatures(nn.Module):
    """Early and middle maps of the expression network's trunk; never trained, always in eval mode.

    Args:
        network: The expression network; its trunk is changed.
    """

    def __init__(self, network: ExpressionNetwork) -> None:
        super().__init__()
        trunk: Backbone = network.trunk
        self.stem = nn.Sequential(trunk.conv_stem, trunk.bn1, trunk.act1)
        self.stages = nn.ModuleList(list(trunk.blocks.children())[:_TRUNK_STAGES])
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor, reference: Tensor) -> list[Tensor]:
        """Return maps of images, brightness and contrast normalised as those of reference images.

        Args:
            images: (B, 3, 64, 64) RGB in [0, 1].
            reference: (B, 3, 64, 64), the originals of reconstructions; those of originals are the images themselves.
        """
        mean = reference.mean((1, 2, 3), keepdim=True)
        std = reference.std((1, 2, 3), keepdim=True)
        maps = [self.stem((images - mean) / (2 * std + _MIN_CONTRAST))]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps


def gradients(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the differences between neighbours along rows and along columns of images (B, C, H, W)."""
    return images[..., 1:] - images[..., :-1], images[..., 1:, :] - images[..., :-1, :]


def feature_variances(features: nn.Module, images: Tensor) -> list[float]:
    """Return the variance of each map over images (B, 3, 64, 64), the mean over its channels."""
    with torch.no_grad():
        return [float(each.var((0, 2, 3)).mean()) for each in features(images, images)]


class ReconstructionLoss:
    """Differences between reconstructions and images, each term divided by what it measures between random images.

    Args:
        settings: Terms and weights.
        features: Maps of images and reference images; None: for the loss on pixels.
        sample: (B, 3, 64, 64) training images, by which the terms are scaled.
    """

    def __init__(self, settings: VaeObjectiveConfig, features: nn.Module | None, sample: Tensor) -> None:
        self._settings, self._features = settings, features
        self._pixel_variance = float(sample.var((0, 2, 3)).mean())
        self._variances = [] if features is None else feature_variances(features, sample)
        self._gradient_scale = sum(float(each.abs().mean()) for each in gradients(sample))

    def __call__(self, images: Tensor, reconstructions: Tensor) -> dict[str, Tensor]:
        """Return the weighted terms, each the mean over the batch."""
        if self._features is None:
            return {"pixel": (reconstructions - images).square().mean() / self._pixel_variance}
        terms = {"feature": self._feature_loss(images, reconstructions)}
        absolute = (reconstructions - images).abs().mean() / self._pixel_variance**0.5
        terms["pixel"] = self._settings.pixel * absolute
        pairs: Sequence[tuple[Tensor, Tensor]] = list(zip(gradients(reconstructions), gradients(images)))
        change = sum(((first - second).abs().mean() for first, second in pairs), torch.zeros(()))
        terms["gradient"] = self._settings.gradient * change / self._gradient_scale
        return terms

    def _feature_loss(self, images: Tensor, reconstructions: Tensor) -> Tensor:
        assert self._features is not None
        with torch.no_grad():
            wanted = self._features(images, images)
        found = self._features(reconstructions, images)
        parts = [
            (first.float() - second.float()).square().mean() / variance
            for first, second, variance in zip(found, wanted, self._variances)
        ]
        return torch.stack(parts).mean()
