"""Emotion features of images: by an expression encoder, or by EMOCA's emotion-recognition network."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from smirk3d.assets import printable
from smirk3d.errors import Smirk3dError
from smirk3d.networks.encoder import Encoder
from smirk3d.networks.torch_file import fill, is_torch_file, read_parts
from smirk3d.train.losses.perceptual import PerceptualFeatures

Features = Callable[[Tensor], Tensor]
"""Maps images (B, 3, H, W), RGB in [0, 1], to features (B, K)."""

SIDE_PX = 224
"""Side of the images that EMOCA's network was trained on."""
_STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))
"""Inner channels and number of blocks at 1/4, 1/8, 1/16 and 1/32 of the resolution."""
_EXPANSION = 4
_STATE, _BACKBONE, _TOP = "state_dict", "backbone.", "fc."
_REMEDY = "give EMOCA's ResNet-50 for emotion recognition (the .ckpt in its ResNet50.zip), or a checkpoint of networks"


def emotion_features(path: str | os.PathLike[str], device: torch.device | str = "cpu") -> Features:
    """Build emotion features; the type of file is recognised by its content. Nothing in it is executed.

    Features of an encoder are those of its expression branch before the last layer; features of EMOCA's network are
    the 2048 values before its classifier.

    Args:
        path: Checkpoint of networks, see `Encoder.from_checkpoint`; or EMOCA's ResNet-50 for emotion recognition.
        device: Device of the network.

    Raises:
        Smirk3dError: The file cannot be read, or holds neither network.
    """
    state = read_parts(path, (_STATE,), _REMEDY).get(_STATE) if is_torch_file(path) else None
    if state is not None:
        return _emoca_features(path, state, device)
    backbone = Encoder.from_checkpoint(path).for_inference().expression_encoder.encoder.to(device)
    return lambda image: backbone(image).mean(dim=(2, 3))


def _emoca_features(path: str | os.PathLike[str], state: Mapping[str, Tensor], device: torch.device | str) -> Features:
    """Build features (B, 2048) of EMOCA's network, which takes images in [0, 1] without normalisation."""
    own = {name.removeprefix(_BACKBONE): tensor for name, tensor in state.items() if name.startswith(_BACKBONE)}
    with torch.device("meta"):
        network = ResNet50()
    # The file still holds the face-recognition classifier of the original network.
    if fault := fill(network, {name: tensor for name, tensor in own.items() if not name.startswith(_TOP)}):
        raise Smirk3dError(f"{printable(path)}: is no ResNet-50 for emotion recognition ({fault}); {_REMEDY}")
    features = PerceptualFeatures(network, (0.0,) * 3, (1.0,) * 3).to(device)
    return lambda image: features(_resized(image))[0]


def _resized(image: Tensor) -> Tensor:
    if image.shape[-1] == SIDE_PX:
        return image
    return functional.interpolate(image, (SIDE_PX, SIDE_PX), mode="bilinear", antialias=True)


class ResNet50(nn.Module):
    """ResNet-50 in its original Caffe layout: images (B, 3, H, W) to a list with features (B, 2048).

    EMOCA's network derives from VGGFace2's, which was trained in Caffe: a block halves the resolution in its first,
    1 × 1 convolution, and the first pooling has no padding but rounds up. Other libraries stride the 3 × 3 convolution
    and pad the pooling; the weights fit either way, but the outputs differ.

    Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016; Daněček et al., "EMOCA: Emotion Driven
    Monocular Face Capture and Animation", CVPR 2022.
    """

    def __init__(self) -> None:
        super().__init__()
        channels = _STAGES[0][0]
        self.conv1 = nn.Conv2d(3, channels, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        for number, (width, count) in enumerate(_STAGES, start=1):
            blocks = []
            for k in range(count):
                blocks.append(_Bottleneck(channels, width, stride=2 if k == 0 and number > 1 else 1))
                channels = _EXPANSION * width
            setattr(self, f"layer{number}", nn.Sequential(*blocks))

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return one feature tensor (B, 2048) in a list, for images (B, 3, H, W) in [0, 1]."""
        maps = functional.max_pool2d(self.bn1(self.conv1(images)).relu(), 3, stride=2, ceil_mode=True)
        for number in range(1, len(_STAGES) + 1):
            maps = self.get_submodule(f"layer{number}")(maps)
        return [maps.mean(dim=(2, 3))]


class _Bottleneck(nn.Module):
    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        wide = _EXPANSION * width
        self.conv1 = nn.Conv2d(channels, width, 1, stride, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, wide, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(wide)
        self.downsample = None
        if channels != wide:
            self.downsample = nn.Sequential(nn.Conv2d(channels, wide, 1, stride, bias=False), nn.BatchNorm2d(wide))

    def forward(self, maps: Tensor) -> Tensor:
        inner = self.bn2(self.conv2(self.bn1(self.conv1(maps)).relu())).relu()
        return (self.bn3(self.conv3(inner)) + (maps if self.downsample is None else self.downsample(maps))).relu()
