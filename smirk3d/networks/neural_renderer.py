"""The neural renderer: image-to-image translation from a shaded mesh and a masked photo to the photo."""

from __future__ import annotations

import os
from collections import OrderedDict

import torch
from torch import Tensor, nn

from smirk3d.networks.checkpoint import NEURAL_RENDERER, NetworkFile, read_networks
from smirk3d.networks.color_fill import fill_colors
from smirk3d.networks.inference import folded

N_RESIDUAL_BLOCKS = 5
SIZE_STEP_PX = 16  # four poolings halve the resolution each
RELEASED_WIDTH, MAX_WIDTH = 32, 512  # channels of the first level
RELEASED_SIZE_PX = 224
IMAGE_CHANNELS = 3
_FIRST_WEIGHTS = "encoder1.enc1conv1.weight"
_DARKEST, _LIGHTEST = 0.02, 0.98
"""Range of the filled colours that the network corrects: the logit is finite there."""


class NeuralRenderer(nn.Module):
    """A U-Net with residual blocks at its bottleneck; state-dict names are those of SMIRK's released generator.

    Args:
        width: Channels of the first level; each level down has twice as many. 32 in the released weights.
        size_px: Side of the crops that it is trained on, in pixels; other sizes can be rendered in lower quality.
        fills_colors: Read the colours between the known pixels too (`smirk3d.networks.color_fill`), and render their
            correction. The released weights do not.

    Source: Retsinas et al., "3D Facial Expressions through Analysis-by-Neural-Synthesis" (CVPR 2024); Ronneberger et
    al., "U-Net: Convolutional Networks for Biomedical Image Segmentation" (2015); Johnson et al., "Perceptual Losses
    for Real-Time Style Transfer and Super-Resolution" (2016), for the residual blocks.
    """

    is_folded = False

    def __init__(
        self, width: int = RELEASED_WIDTH, size_px: int = RELEASED_SIZE_PX, *, fills_colors: bool = False
    ) -> None:
        super().__init__()
        self.size_px, self.fills_colors = size_px, fills_colors
        self.encoder1 = _block(IMAGE_CHANNELS * (2 + fills_colors), width, "enc1")
        self.pool1 = nn.MaxPool2d(2)
        self.encoder2 = _block(width, 2 * width, "enc2")
        self.pool2 = nn.MaxPool2d(2)
        self.encoder3 = _block(2 * width, 4 * width, "enc3")
        self.pool3 = nn.MaxPool2d(2)
        self.encoder4 = _block(4 * width, 8 * width, "enc4")
        self.pool4 = nn.MaxPool2d(2)
        self.bottleneck = _block(8 * width, 16 * width, "bottleneck")
        self.resnet_blocks = nn.ModuleList(_ResidualBlock(16 * width) for _ in range(N_RESIDUAL_BLOCKS))
        self.upconv4 = nn.ConvTranspose2d(16 * width, 8 * width, 2, 2)
        self.decoder4 = _block(16 * width, 8 * width, "dec4")
        self.upconv3 = nn.ConvTranspose2d(8 * width, 4 * width, 2, 2)
        self.decoder3 = _block(8 * width, 4 * width, "dec3")
        self.upconv2 = nn.ConvTranspose2d(4 * width, 2 * width, 2, 2)
        self.decoder2 = _block(4 * width, 2 * width, "dec2")
        self.upconv1 = nn.ConvTranspose2d(2 * width, width, 2, 2)
        self.decoder1 = _block(2 * width, width, "dec1")
        self.conv = nn.Conv2d(width, 3, 1)

    def forward(self, image: Tensor, masked_photo: Tensor) -> Tensor:
        """Render the photo.

        Args:
            image: (B, 3, H, W) float, shaded mesh in [0, 1]; H and W multiples of 16.
            masked_photo: (B, 3, H, W) float, photo in [0, 1] with its masked pixels at 0, see `smirk3d.masking`.

        Returns:
            (B, 3, H, W) float in (0, 1), RGB.

        Raises:
            ValueError: H or W is no multiple of 16.
        """
        if image.shape[-2] % SIZE_STEP_PX or image.shape[-1] % SIZE_STEP_PX:
            raise ValueError(f"height and width must be multiples of {SIZE_STEP_PX}, not {tuple(image.shape[-2:])}")
        if not self.fills_colors:
            return torch.sigmoid(self._logits(torch.cat([image, masked_photo], dim=1)))
        filled = fill_colors(masked_photo, image).clamp(_DARKEST, _LIGHTEST)
        return torch.sigmoid(self._logits(torch.cat([image, masked_photo, filled], dim=1)) + filled.logit())

    def _logits(self, inputs: Tensor) -> Tensor:
        # Contracting path; its levels are the skip connections of the expanding path.
        level1 = self.encoder1(inputs)
        level2 = self.encoder2(self.pool1(level1))
        level3 = self.encoder3(self.pool2(level2))
        level4 = self.encoder4(self.pool3(level3))
        out = self.bottleneck(self.pool4(level4))
        # Residual blocks at the lowest resolution give a large receptive field at little cost.
        for block in self.resnet_blocks:
            out = block(out)
        out = self.decoder4(torch.cat([self.upconv4(out), level4], dim=1))
        out = self.decoder3(torch.cat([self.upconv3(out), level3], dim=1))
        out = self.decoder2(torch.cat([self.upconv2(out), level2], dim=1))
        out = self.decoder1(torch.cat([self.upconv1(out), level1], dim=1))
        return self.conv(out)

    @classmethod
    def from_checkpoint(cls, path: str | os.PathLike[str]) -> NeuralRenderer:
        """Load the generator of a released checkpoint, or of a file written by `save_networks`.

        Args:
            path: The file; its format is found from the content.

        Returns:
            The network on the CPU, in eval mode.

        Raises:
            Smirk3dError: The file cannot be read, or does not hold exactly this network.
        """
        file = read_networks(path)
        first = file.state_dict(NEURAL_RENDERER).get(_FIRST_WEIGHTS)
        network = cls(_width(first), file.renderer_size_px, fills_colors=renderer_fills_colors(file))
        file.load_into(network, NEURAL_RENDERER)
        return network.eval()

    def for_inference(self) -> NeuralRenderer:
        """Return a faster copy in eval mode that computes the same numbers and can be neither trained nor saved."""
        network = folded(self, NeuralRenderer)
        network.is_folded = True
        return network


def renderer_fills_colors(file: NetworkFile) -> bool:
    """Return whether the neural renderer in a file reads filled colours, which the shape of its first weights tells."""
    first = file.state_dict(NEURAL_RENDERER).get(_FIRST_WEIGHTS)
    return first is not None and first.shape[1:2] == (3 * IMAGE_CHANNELS,)


def _width(first: Tensor | None) -> int:
    """Return the width of a network with these first weights.

    Implausible weights give the released width: loading then reports the misfit, and a damaged file cannot make the
    constructor allocate any amount of memory.
    """
    plausible = first is not None and first.ndim == 4 and 1 <= len(first) <= MAX_WIDTH
    return len(first) if first is not None and plausible else RELEASED_WIDTH


def _block(n_in: int, n_out: int, name: str) -> nn.Sequential:
    """Return twice convolution, batch norm and ReLU, with the released names."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for index, channels in ((1, n_in), (2, n_out)):
        layers[f"{name}conv{index}"] = nn.Conv2d(channels, n_out, 3, padding=1, bias=False)
        layers[f"{name}norm{index}"] = nn.BatchNorm2d(n_out)
        layers[f"{name}relu{index}"] = nn.ReLU(inplace=True)
    return nn.Sequential(layers)


class _ResidualBlock(nn.Module):
    """Two 3×3 convolutions with reflection padding, added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, features: Tensor) -> Tensor:
        return features + self.conv_block(features)
