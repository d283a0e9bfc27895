"""Faster copies of networks for inference."""

from __future__ import annotations

import copy
import functools
from typing import TypeVar

import torch
from torch import nn
from torch.nn.utils import convert_conv2d_weight_memory_format
from torch.nn.utils.fusion import fuse_conv_bn_eval

from smirk3d.networks.convolutions import FUSED_ACTIVATIONS, FusedConv2d

Network = TypeVar("Network", bound=nn.Module)


def folded(network: Network, known: type[nn.Module]) -> Network:
    """Return a copy in eval mode, without gradients, with batch norms and ReLUs folded into the convolutions before.

    Args:
        network: Not changed.
        known: Class of the modules in which they are folded. Its `forward` must apply every batch norm that is
            registered directly after a convolution directly after it, and so every ReLU that is registered directly
            after a convolution or such a batch norm; which cannot be inferred from the modules.

    Returns:
        The copy, with weights in channels-last layout, which is faster on CPUs.

    Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
    Inference" (2018), section 3.2, for folding.
    """
    network = copy.deepcopy(network).eval().requires_grad_(False)
    inside = {module for part in network.modules() if isinstance(part, known) for module in part.modules()}
    for module in list(network.modules()):
        _fold_children(module, is_known=module in inside)
    convert_conv2d_weight_memory_format(network, torch.channels_last)
    return network


@functools.cache
def has_bfloat16() -> bool:
    """Return whether the processor multiplies bfloat16 faster than float32."""
    # Private in torch, which has no public function; one that lacks it computes in float32.
    is_supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return is_supported is not None and is_supported()


def use_bfloat16(network: nn.Module) -> None:
    """Let the convolutions of a folded network, or of a part of it, compute with bfloat16."""
    for module in network.modules():
        if isinstance(module, FusedConv2d):
            module.use_bfloat16()


def _fold_children(module: nn.Module, *, is_known: bool) -> None:
    """Replace the convolutions of a module, with what follows them where that is known."""
    children = list(module.named_children())
    for k, (name, conv) in enumerate(children):
        if not isinstance(conv, nn.Conv2d) or conv.padding_mode != "zeros" or isinstance(conv.padding, str):
            continue
        following = children[k + 1 :] if is_known else []
        if following and isinstance(norm := following[0][1], nn.BatchNorm2d):
            conv = fuse_conv_bn_eval(conv, norm)
            setattr(module, following.pop(0)[0], nn.Identity())
        activation = None
        if following and type(following[0][1]) in FUSED_ACTIVATIONS:
            activation = following[0][1]
            setattr(module, following[0][0], nn.Identity())
        setattr(module, name, FusedConv2d(conv, activation))
