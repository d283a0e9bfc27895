"""Convolutions: with TensorFlow's padding, and with their activation in one pass for inference."""

# torch's own annotations are incomplete.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FUSED_ACTIVATIONS: dict[type[nn.Module], tuple[str, list[float]]] = {
    nn.ReLU: ("relu", []),
    nn.ReLU6: ("hardtanh", [0.0, 6.0]),
}
"""Activations that oneDNN applies to what a convolution writes, with their names and numbers there."""
_NO_ACTIVATION: tuple[str, list[float]] = ("none", [])


class SameConv2d(nn.Conv2d):
    """A strided convolution with TensorFlow's "SAME" padding: ceil(size / stride) outputs, odd padding at the end.

    Source: TensorFlow's documentation of `tf.nn.convolution`, padding "SAME".
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the convolution of images (B, C, H, W)."""
        if not (torch.is_grad_enabled() or _is_traced()) and self.groups > 1 and has_even_sides(input):
            weight, padding = self.evenly_padded()
            return F.conv2d(input, weight, self.bias, self.stride, padding, 1, self.groups)
        vertical, horizontal = (
            max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
            for size, stride, kernel in zip(input.shape[-2:], self.stride, self.kernel_size)
        )
        before = horizontal // 2, vertical // 2
        return super().forward(F.pad(input, (before[0], horizontal - before[0], before[1], vertical - before[1])))

    def evenly_padded(self) -> tuple[Tensor, int]:
        """Return weights that start with zeros, and a padding of all sides with which they compute the same.

        That holds for images with even sides, and is faster than the copy of the maps that padding at the end makes.
        """
        return F.pad(self.weight, (1, 0, 1, 0)), self.kernel_size[0] // 2


class FusedConv2d(nn.Module):
    """A convolution and its activation for inference; on a CPU oneDNN computes both at once, with packed weights.

    With gradients, on other devices, and where it is traced, it computes the same in two steps.

    Args:
        conv: The convolution; its weights must not change any more.
        activation: One of `FUSED_ACTIVATIONS`, or None.
    """

    def __init__(self, conv: nn.Conv2d, activation: nn.Module | None = None) -> None:
        super().__init__()
        self.conv, self.activation = conv, activation
        self._name_there = _NO_ACTIVATION if activation is None else FUSED_ACTIVATIONS[type(activation)]
        self._packed: tuple[Tensor, list[int]] | None = None

    def forward(self, input: Tensor) -> Tensor:
        """Return the activations (B, C', H', W') of images (B, C, H, W)."""
        conv = self.conv
        if not self._can_be_packed(input):
            out = conv(input)
            return out if self.activation is None else self.activation(out)
        input = input.contiguous(memory_format=torch.channels_last)
        if self._packed is None:
            self._packed = _packed(conv, input)
        weight, padding = self._packed
        where = (padding, conv.stride, conv.dilation, conv.groups)
        return torch.ops.mkldnn._convolution_pointwise(input, weight, conv.bias, *where, *self._name_there, "")

    def _can_be_packed(self, input: Tensor) -> bool:
        is_plain = input.device.type == "cpu" and input.dtype == self.conv.weight.dtype == torch.float32
        if not is_plain or torch.is_grad_enabled() or _is_traced() or not torch.backends.mkldnn.is_available():
            return False
        return not isinstance(self.conv, SameConv2d) or has_even_sides(input)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the packed weights, which cannot be copied."""
        return {**self.__dict__, "_packed": None}


def has_even_sides(images: Tensor) -> bool:
    """Return whether height and width of images (B, C, H, W) are even."""
    return all(size % 2 == 0 for size in images.shape[-2:])


def _packed(conv: nn.Conv2d, input: Tensor) -> tuple[Tensor, list[int]]:
    """Return weights in oneDNN's layout, which is best for images of this size, and the padding that goes with them."""
    if isinstance(conv, SameConv2d):
        weight, sides = conv.evenly_padded()
        padding = [sides, sides]
    else:
        assert not isinstance(conv.padding, str)
        weight, padding = conv.weight, list(conv.padding)
    plain = weight.detach().contiguous().to_mkldnn()
    where = (padding, conv.stride, conv.dilation, conv.groups)
    return torch.ops.aten.mkldnn_reorder_conv2d_weight(plain, *where, list(input.shape)), padding


def _is_traced() -> bool:
    return torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]
