"""Small convolutional backbones, defined by tables, with the state-dict names of timm's `features_only` models.

Source: Howard et al., "Searching for MobileNetV3" (2019), in the minimalistic form without squeeze-and-excitation and
with ReLU; Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks" (2019), in the Lite
form with ReLU6; Sandler et al., "MobileNetV2" (2018), for inverted residuals.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import NamedTuple, cast

from torch import Tensor, nn

from smirk3d.errors import Smirk3dError
from smirk3d.networks.convolutions import SameConv2d


class Block(NamedTuple):
    """One block of an architecture.

    Attributes:
        kernel: Side of the depthwise kernel.
        stride: Stride of the depthwise convolution.
        hidden: Channels after the expansion; 0 for a depthwise-separable block, which has none.
        out: Output channels.
    """

    kernel: int
    stride: int
    hidden: int
    out: int


@dataclass(frozen=True)
class Architecture:
    """Table that defines a backbone.

    Attributes:
        stem: Channels after the first convolution, which halves the resolution.
        stages: Blocks, grouped as timm groups (and therefore names) them.
        head: Channels of a last 1×1 convolution; 0 for none.
        activation: Class of the activations.
        same_padding: Pad as TensorFlow's "SAME" does; False pads half the kernel on every side.
        bn_eps: Epsilon of the batch norms.
    """

    stem: int
    stages: tuple[tuple[Block, ...], ...]
    head: int
    activation: type[nn.ReLU] | type[nn.ReLU6]
    same_padding: bool
    bn_eps: float


_LITE0_STAGES = (
    (Block(3, 1, 0, 16),),
    (Block(3, 2, 96, 24), Block(3, 1, 144, 24)),
    (Block(5, 2, 144, 40), Block(5, 1, 240, 40)),
    (Block(3, 2, 240, 80), Block(3, 1, 480, 80), Block(3, 1, 480, 80)),
    (Block(5, 1, 480, 112), Block(5, 1, 672, 112), Block(5, 1, 672, 112)),
    (Block(5, 2, 672, 192), Block(5, 1, 1152, 192), Block(5, 1, 1152, 192), Block(5, 1, 1152, 192)),
    (Block(3, 1, 1152, 320),),
)

ARCHITECTURES = {
    "tf_mobilenetv3_small_minimal_100": Architecture(
        stem=16,
        stages=(
            (Block(3, 2, 0, 16),),
            (Block(3, 2, 72, 24), Block(3, 1, 88, 24)),
            (Block(3, 2, 96, 40), Block(3, 1, 240, 40), Block(3, 1, 240, 40)),
            (Block(3, 1, 120, 48), Block(3, 1, 144, 48)),
            (Block(3, 2, 288, 96), Block(3, 1, 576, 96), Block(3, 1, 576, 96)),
        ),
        head=576,
        activation=nn.ReLU,
        same_padding=True,
        bn_eps=1e-3,
    ),
    "tf_mobilenetv3_large_minimal_100": Architecture(
        stem=16,
        stages=(
            (Block(3, 1, 0, 16),),
            (Block(3, 2, 64, 24), Block(3, 1, 72, 24)),
            (Block(3, 2, 72, 40), Block(3, 1, 120, 40), Block(3, 1, 120, 40)),
            (Block(3, 2, 240, 80), Block(3, 1, 200, 80), Block(3, 1, 184, 80), Block(3, 1, 184, 80)),
            (Block(3, 1, 480, 112), Block(3, 1, 672, 112)),
            (Block(3, 2, 672, 160), Block(3, 1, 960, 160), Block(3, 1, 960, 160)),
        ),
        head=960,
        activation=nn.ReLU,
        same_padding=True,
        bn_eps=1e-3,
    ),
    "efficientnet_lite0": Architecture(
        stem=32, stages=_LITE0_STAGES, head=0, activation=nn.ReLU6, same_padding=False, bn_eps=1e-5
    ),
    "tf_efficientnet_lite0": Architecture(
        stem=32, stages=_LITE0_STAGES, head=0, activation=nn.ReLU6, same_padding=True, bn_eps=1e-3
    ),
}


SHORTENED = {
    "tf_efficientnet_lite0_stride16": replace(ARCHITECTURES["tf_efficientnet_lite0"], stages=_LITE0_STAGES[:5]),
}
"""Backbones without their last stages, with maps at a 16th of the resolution; timm has no such models."""


class Backbone(nn.Module):
    """A convolutional network without its classifier.

    Args:
        architecture: Table of its layers.

    Attributes:
        out_channels: Channels of the last feature map.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        layers = _Layers(architecture)
        self.conv_stem = layers.conv(3, architecture.stem, 3, stride=2)
        self.bn1 = layers.norm(architecture.stem)
        self.act1 = layers.act()
        channels = architecture.stem
        stages: list[nn.Module] = []
        for stage in architecture.stages:
            blocks: list[nn.Module] = []
            for block in stage:
                # timm names the layers of both kinds differently.
                kind = _InvertedResidual if block.hidden else _DepthwiseSeparable
                blocks.append(kind(layers, channels, block))
                channels = block.out
            stages.append(nn.Sequential(*blocks))
        if architecture.head:
            stages.append(nn.Sequential(_Head(layers, channels, architecture.head)))
            channels = architecture.head
        self.blocks = nn.Sequential(*stages)
        self.out_channels = channels
        self.apply(_initialise)

    def forward(self, images: Tensor) -> Tensor:
        """Return the last feature map.

        Args:
            images: (B, 3, H, W) float, any H and W.

        Returns:
            (B, out_channels, ceil(H / 32), ceil(W / 32)) float; 16 in place of 32 for `SHORTENED` backbones.
        """
        return self.blocks(self.act1(self.bn1(self.conv_stem(images))))


def is_known(name: str) -> bool:
    """Return whether a name may be that of a backbone: where timm is installed, any."""
    return name in ARCHITECTURES | SHORTENED or find_spec("timm") is not None


def create_backbone(name: str) -> Backbone:
    """Build a backbone with random weights.

    Args:
        name: One of `ARCHITECTURES` or `SHORTENED`, or, where timm is installed, any of its models that support
            `features_only`.

    Returns:
        A module that maps images (B, 3, H, W) to its last feature map and has `out_channels`; state-dict names are
        those of `timm.create_model(name, features_only=True)`.

    Raises:
        Smirk3dError: The name is unknown, or timm is needed and cannot be imported.
    """
    known = ARCHITECTURES | SHORTENED
    if name in known:
        return Backbone(known[name])
    return _from_timm(name)


def _from_timm(name: str) -> Backbone:
    known = ", ".join(ARCHITECTURES)
    try:
        import timm  # pyright: ignore[reportMissingImports]
    except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision that does not match torch
        reason = str(error).splitlines()[0]
        raise Smirk3dError(
            f"backbone {name!r} needs timm, which cannot be imported ({reason}); use {known}, or pip install timm"
        ) from error
    try:
        model = timm.create_model(name, features_only=True)
    except (RuntimeError, AttributeError, TypeError) as error:
        raise Smirk3dError(
            f"timm has no backbone {name!r} ({error}); use {known}, or see timm.list_models()"
        ) from error
    # A hook, because a wrapper module would prefix every name in the state dict.
    model.register_forward_hook(_last_map)
    model.out_channels = model.feature_info.channels()[-1]
    return cast(Backbone, model)


def _last_map(module: nn.Module, images: tuple, maps: list[Tensor]) -> Tensor:
    return maps[-1]


class _Layers:
    """Factory for the layers of one architecture."""

    def __init__(self, architecture: Architecture) -> None:
        self._architecture = architecture

    def conv(self, n_in: int, n_out: int, kernel: int, *, stride: int = 1, groups: int = 1) -> nn.Conv2d:
        # At stride 1 "SAME" is symmetric for odd kernels, as in torch.
        if self._architecture.same_padding and stride > 1:
            return SameConv2d(n_in, n_out, kernel, stride, groups=groups, bias=False)
        return nn.Conv2d(n_in, n_out, kernel, stride, kernel // 2, groups=groups, bias=False)

    def norm(self, channels: int) -> nn.BatchNorm2d:
        return nn.BatchNorm2d(channels, eps=self._architecture.bn_eps)

    def act(self) -> nn.Module:
        return self._architecture.activation(inplace=True)


class _DepthwiseSeparable(nn.Module):
    """Depthwise-separable convolution: depthwise, then 1×1."""

    def __init__(self, layers: _Layers, channels: int, block: Block) -> None:
        super().__init__()
        self.conv_dw = layers.conv(channels, channels, block.kernel, stride=block.stride, groups=channels)
        self.bn1 = layers.norm(channels)
        self.act1 = layers.act()
        self.conv_pw = layers.conv(channels, block.out, 1)
        self.bn2 = layers.norm(block.out)
        self.has_skip = block.stride == 1 and channels == block.out

    def forward(self, features: Tensor) -> Tensor:
        out = self.act1(self.bn1(self.conv_dw(features)))
        out = self.bn2(self.conv_pw(out))
        return out + features if self.has_skip else out


class _InvertedResidual(nn.Module):
    """Inverted residual: 1×1 expansion, depthwise convolution, linear 1×1 projection."""

    def __init__(self, layers: _Layers, channels: int, block: Block) -> None:
        super().__init__()
        self.conv_pw = layers.conv(channels, block.hidden, 1)
        self.bn1 = layers.norm(block.hidden)
        self.act1 = layers.act()
        self.conv_dw = layers.conv(block.hidden, block.hidden, block.kernel, stride=block.stride, groups=block.hidden)
        self.bn2 = layers.norm(block.hidden)
        self.act2 = layers.act()
        self.conv_pwl = layers.conv(block.hidden, block.out, 1)
        self.bn3 = layers.norm(block.out)
        self.has_skip = block.stride == 1 and channels == block.out

    def forward(self, features: Tensor) -> Tensor:
        out = self.act1(self.bn1(self.conv_pw(features)))
        out = self.act2(self.bn2(self.conv_dw(out)))
        out = self.bn3(self.conv_pwl(out))
        return out + features if self.has_skip else out


class _Head(nn.Module):
    """The last 1×1 convolution of the MobileNets."""

    def __init__(self, layers: _Layers, channels: int, out: int) -> None:
        super().__init__()
        self.conv = layers.conv(channels, out, 1)
        self.bn1 = layers.norm(out)
        self.act = layers.act()

    def forward(self, features: Tensor) -> Tensor:
        return self.act(self.bn1(self.conv(features)))


def _initialise(module: nn.Module) -> None:
    """Initialise convolutions as TensorFlow's MobileNets: normal, variance 2 / fan-out of one group."""
    if isinstance(module, nn.Conv2d):
        fan_out = math.prod(module.kernel_size) * module.out_channels // module.groups
        nn.init.normal_(module.weight, 0.0, math.sqrt(2.0 / fan_out))
