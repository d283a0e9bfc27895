"""The expression network: a face window to a 256-d expression vector, emotions and ARKit weights, and its file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, interpolate

from smirk3d.assets import sha256
from smirk3d.fer.emotions import EMOTIONS
from smirk3d.head.arkit import ARKIT_MIRROR, ARKIT_NAMES
from smirk3d.networks.backbones import create_backbone
from smirk3d.networks.half_file import load_half

BACKBONE = "tf_efficientnet_lite0_stride16"
N_FEATURES = 256
"""Length of the expression vector."""
INPUT_PX = 64
"""Side in pixels to which an untrained network enlarges a window."""
VECTORS = "vectors"
"""Entry in the description of a file of which only the emotions were changed: `vectors_digest` of the one before."""
_NARROW_CHANNELS, _CELLS, _DROPOUT = 128, 2, 0.3
_MIN_CONTRAST = 0.05


class Prediction(NamedTuple):
    """What the network predicts of B faces.

    Attributes:
        vector: (B, 256) expression vectors.
        logits: (B, 8) of `EMOTIONS`, not calibrated.
        arkit: (B, 52) ARKit weights; gaze in the units of the open head.
    """

    vector: Tensor
    logits: Tensor
    arkit: Tensor


class ExpressionNetwork(nn.Module):
    """A truncated EfficientNet-Lite0, the expression vector, and two linear heads on it.

    The last map is averaged over the four quarters of the window and not over all of it, because an average loses which
    side of the face a feature is on.

    Attributes:
        temperature: () by which logits are divided to give calibrated probabilities.
        input_px: () side in pixels to which a window is enlarged.
    """

    temperature: Tensor
    input_px: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.trunk = create_backbone(BACKBONE)
        self.narrow = nn.Sequential(
            nn.Conv2d(self.trunk.out_channels, _NARROW_CHANNELS, 1, bias=False),
            nn.BatchNorm2d(_NARROW_CHANNELS),
            nn.ReLU6(inplace=True),
        )
        self.vector = nn.Sequential(nn.Linear(_NARROW_CHANNELS * _CELLS**2, N_FEATURES), nn.BatchNorm1d(N_FEATURES))
        self.dropout = nn.Dropout(_DROPOUT)
        self.emotions = nn.Linear(N_FEATURES, len(EMOTIONS))
        self.arkit = nn.Linear(N_FEATURES, len(ARKIT_NAMES))
        self.register_buffer("temperature", torch.tensor(1.0))
        self.register_buffer("input_px", torch.tensor(INPUT_PX))

    def forward(self, images: Tensor) -> Prediction:
        """Predict from grey faces.

        Args:
            images: (B, 1, S, S) float in [0, 1]; S is `input_px`, or another multiple of 16.
        """
        return self.predict_maps(self.maps(images))

    def maps(self, images: Tensor) -> Tensor:
        """Return the last maps (B, 128, S / 16, S / 16) of images; see `forward`."""
        mean = images.mean((2, 3), keepdim=True)
        std = images.std((2, 3), keepdim=True)
        normalized = (images - mean) / (2 * std + _MIN_CONTRAST)
        return self.narrow(self.trunk(normalized.expand(-1, 3, -1, -1)))

    def predict_maps(self, maps: Tensor) -> Prediction:
        """Predict from `maps`."""
        vector = self.vector(_means_of_cells(maps).flatten(1))
        return Prediction(vector, self.emotions(self.dropout(vector)), self.arkit(vector))

    def predict(self, windows: Tensor) -> Prediction:
        """Return the mean prediction of windows and their mirror images.

        Args:
            windows: (B, 48, 48) uint8, see `smirk3d.fer.face_windows`.
        """
        images = enlarged(windows[:, None].float() / 255, int(self.input_px))
        views = self(torch.cat([images, images.flip(3)]))
        (vector, mirrored), (logits, mirrored_logits), (arkit, mirrored_arkit) = (each.chunk(2) for each in views)
        mirrored_arkit = mirrored_arkit[:, list(ARKIT_MIRROR)]
        return Prediction((vector + mirrored) / 2, (logits + mirrored_logits) / 2, (arkit + mirrored_arkit) / 2)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the calibrated probabilities (B, 8) of logits (B, 8)."""
        return (logits / self.temperature).softmax(1)


def _means_of_cells(features: Tensor) -> Tensor:
    """Return the means (B, C, 2, 2) of the quarters of maps (B, C, H, W)."""
    if torch.onnx.is_in_onnx_export():  # there the side must be known; two cells of an odd side overlap by one
        side = int(features.shape[-1])
        cell = -(-side // _CELLS)
        return avg_pool2d(features, cell, side - cell)
    return adaptive_avg_pool2d(features, _CELLS)


def enlarged(images: Tensor, side_px: int) -> Tensor:
    """Return images (B, 1, S, S) of another side, bilinearly."""
    return interpolate(images, size=(side_px, side_px), mode="bilinear", align_corners=False)


def load_expression_network(path: Path) -> ExpressionNetwork:
    """Read a network for inference.

    Raises:
        Smirk3dError: The file is missing or damaged, or holds something else.
    """
    network = ExpressionNetwork()
    load_half(
        network, path, "an expression network", "give a file that `smirk3d fer train` wrote, or reinstall smirk3d"
    )
    return network.to(memory_format=torch.channels_last).eval().requires_grad_(False)  # type: ignore[call-overload]


def vectors_digest(path: Path) -> str:
    """Return a digest of the network whose vectors a file has: of the file, or what the file states for it.

    Raises:
        OSError: The file cannot be read.
    """
    try:
        about = description_of(path)
    except (SafetensorError, ValueError):
        about = {}
    return about.get(VECTORS) or sha256(path)[:16]


def description_of(path: Path) -> dict[str, str]:
    """Return the description in the header of a network's file; empty where there is none.

    Raises:
        OSError: The file cannot be read.
        SafetensorError: It is no file of this format.
        ValueError: Its description is no mapping.
    """
    with safe_open(path, framework="pt") as file:
        about = json.loads((file.metadata() or {}).get("about", "{}"))
    if not isinstance(about, dict):
        raise ValueError("its description is no mapping")
    return about
