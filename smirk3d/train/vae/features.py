"""The frozen network whose features are compared."""

from __future__ import annotations

from torch import Tensor, nn

from smirk3d.fer.network import load_expression_network
from smirk3d.train.losses.perceptual import PerceptualFeatures, vgg19_features
from smirk3d.train.vae.config import VaeTrainConfig
from smirk3d.train.vae.losses import TrunkFeatures
from smirk3d.zoo.registry import find


def loss_features(config: VaeTrainConfig) -> nn.Module | None:
    """Return the feature maps of a run; None with the loss on pixels.

    Raises:
        Smirk3dError: A file of weights is missing or cannot be used.
    """
    if config.loss == "pixel":
        return None
    if config.objective.vgg19 is not None:
        return _WithoutReference(vgg19_features(config.objective.vgg19))
    return TrunkFeatures(load_expression_network(find("expression")))


class _WithoutReference(nn.Module):
    """Feature maps of images alone."""

    def __init__(self, features: PerceptualFeatures) -> None:
        super().__init__()
        self.features = features

    def forward(self, images: Tensor, reference: Tensor) -> list[Tensor]:
        return self.features(images)
