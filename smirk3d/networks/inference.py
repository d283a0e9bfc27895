"""Faster copies of networks for inference."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import convert_conv2d_weight_memory_format
from torch.nn.utils.fusion import fuse_conv_bn_eval

Network = TypeVar("Network", bound=nn.Module)


def folded(network: Network, known: type[nn.Module]) -> Network:
    """Return a copy in eval mode, without gradients, with batch norms folded into the convolutions before them.

    Args:
        network: Not changed.
        known: Class of the modules in which batch norms are folded. Its `forward` must apply every batch norm that is
            registered directly after a convolution directly after it, which cannot be inferred from the modules.

    Returns:
        The copy, with weights in channels-last layout, which is faster on CPUs.

    Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
    Inference" (2018), section 3.2, for folding.
    """
    network = copy.deepcopy(network).eval().requires_grad_(False)
    for part in network.modules():
        if isinstance(part, known):
            for module in part.modules():
                _fold_children(module)
    for module in list(network.modules()):
        _replace_pointwise_children(module)
    convert_conv2d_weight_memory_format(network, torch.channels_last)
    return network


class PointwiseConv2d(nn.Conv2d):
    """A 1×1 convolution that oneDNN computes for batches of any size.

    On one thread, `Conv2d` itself takes a slower way for fewer than 16 images (ATen, `ConvParams::use_mkldnn`).
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the convolution of images (B, C, H, W)."""
        is_traced = torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]
        is_plain = input.device.type == "cpu" and input.dtype == self.weight.dtype == torch.float32
        if not is_plain or is_traced or torch.is_grad_enabled() or not torch.backends.mkldnn.is_available():
            return super().forward(input)
        return torch.mkldnn_convolution(input, self.weight, self.bias, (0, 0), self.stride, self.dilation, self.groups)


def _replace_pointwise_children(module: nn.Module) -> None:
    for name, conv in list(module.named_children()):
        if type(conv) is nn.Conv2d and conv.kernel_size == (1, 1) and conv.padding == (0, 0):
            stride = (conv.stride[0], conv.stride[1])
            faster = PointwiseConv2d(conv.in_channels, conv.out_channels, 1, stride, groups=conv.groups)
            faster.weight, faster.bias = conv.weight, conv.bias
            setattr(module, name, faster.eval())


def _fold_children(module: nn.Module) -> None:
    for (first, conv), (second, norm) in pairwise(list(module.named_children())):
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            setattr(module, first, fuse_conv_bn_eval(conv, norm))
            setattr(module, second, nn.Identity())
