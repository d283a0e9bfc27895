"""A small network that estimates which share of each region of a face is visible, and its file."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from smirk3d.networks.half_file import load_half
from smirk3d.networks.inference import folded

MIRRORED_REGION = (0, 1, 3, 2)
"""Index of each region, eyes, mouth, left and right, in a mirrored face."""
N_REGIONS = len(MIRRORED_REGION)
INPUT_CHANNELS = 3
GRID_SIZE = 8
"""Side of the grid on which the network locates what is hidden."""
_WIDTHS = ((16, 2), (32, 2), (48, 1), (64, 2), (64, 1))
"""Channels and stride of each convolution; the last is the one with the grid."""
_HEAD_CHANNELS, _HIDDEN = 96, 64


class VisibilityNetwork(nn.Module):
    """Convolutions on a face patch, and two readings of them: the regions, and a grid of what is visible."""

    def __init__(self) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        channels = INPUT_CHANNELS
        for width, stride in _WIDTHS:
            blocks += _block(channels, width, stride)
            channels = width
        self.features = nn.Sequential(*blocks)
        self.grid = nn.Conv2d(channels, 1, 1)
        self.regions = nn.Sequential(
            *_block(channels, _HEAD_CHANNELS, 2),
            nn.Flatten(),
            nn.Dropout(0.2),
            nn.Linear(_HEAD_CHANNELS * (GRID_SIZE // 2) ** 2, _HIDDEN),
            nn.ReLU(),
            nn.Linear(_HIDDEN, N_REGIONS),
        )

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits of visible shares.

        Args:
            patches: (B, 3, 64, 64) float32, see `smirk3d.detection.face_patch.network_input`.

        Returns:
            Of the regions, (B, 4), and of the cells of a grid over the patch, (B, 8, 8).
        """
        features = self.features(patches)
        return self.regions(features), self.grid(features)[:, 0]

    def region_logits(self, patches: Tensor) -> Tensor:
        """Return the logits of the regions, (B, 4), the mean over patches and their mirror images."""
        own, mirrored = self.regions(self.features(torch.cat([patches, patches.flip(3)]))).chunk(2)
        return (own + mirrored[:, list(MIRRORED_REGION)]) / 2


def _block(channels: int, width: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(channels, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]


def load_visibility_network(path: Path) -> VisibilityNetwork:
    """Read a network for inference.

    Raises:
        Smirk3dError: The file is missing or damaged, or holds something else.
    """
    network = VisibilityNetwork()
    load_half(network, path, "the network of visibility", "reinstall smirk3d")
    return folded(network, VisibilityNetwork)
