"""A branch of the encoder with an auxiliary layer, as it is trained by regression."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from smirk3d.datasets.synthetic.rendered_faces import N_LANDMARKS
from smirk3d.networks.encoder_branches import Branch


class RegressionNetwork(nn.Module):
    """A branch with a linear layer that predicts the landmarks, which is dropped after training.

    Args:
        branch: The branch, which is trained in place.
    """

    def __init__(self, branch: Branch) -> None:
        super().__init__()
        self.branch = branch
        self.landmarks = nn.Linear(branch.linear.in_features, 2 * N_LANDMARKS)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the branch's raw outputs (B, N) and landmarks (B, 478, 2) of images (B, 3, P, P)."""
        features = self.branch.features(images.contiguous(memory_format=torch.channels_last))
        return self.branch.linear(features), self.landmarks(features).unflatten(1, (N_LANDMARKS, 2))
