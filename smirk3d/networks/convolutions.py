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
        self._needs_even_sides = isinstance(conv, SameConv2d)
        self._dtype = torch.float32
        self._arguments: tuple[Any, ...] | None = None

    def use_bfloat16(self) -> None:
        """Compute with numbers of 8 significant bits, which are added up with 24, where the weights are packed."""
        self._dtype, self._arguments = torch.bfloat16, None

    def forward(self, input: Tensor) -> Tensor:
        """Return the activations (B, C', H', W') of images (B, C, H, W); weights may be of another type than these."""
        # This is called for every layer, so it must not take long itself.
        if not input.is_cpu or torch.is_grad_enabled() or _is_traced() or not self._fits(input):
            out = self.conv(input.to(self.conv.weight.dtype))
            return out if self.activation is None else self.activation(out)
        input = input.to(self._dtype, memory_format=torch.channels_last)
        if self._arguments is None:
            name_and_numbers = _NO_ACTIVATION if self.activation is None else FUSED_ACTIVATIONS[type(self.activation)]
            self._arguments = (*_packed(self.conv, input), *name_and_numbers, "")
        return torch.ops.mkldnn._convolution_pointwise(input, *self._arguments)

    def _fits(self, input: Tensor) -> bool:
        """Return whether packed weights compute the same for these images."""
        if self._needs_even_sides and not has_even_sides(input):
            return False
        is_packed = self._arguments is not None
        return is_packed or (torch.backends.mkldnn.is_available() and self.conv.weight.dtype == torch.float32)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the packed weights, which cannot be copied."""
        return {**self.__dict__, "_arguments": None}


def has_even_sides(images: Tensor) -> bool:
    """Return whether height and width of images (B, C, H, W) are even."""
    return all(size % 2 == 0 for size in images.shape[-2:])


def _packed(conv: nn.Conv2d, input: Tensor) -> tuple[Any, ...]:
    """Return the arguments of oneDNN's convolution but for the input and the activation.

    The weights are in the layout that is best for images like `input`, and of their type.
    """
    weight, padding = conv.evenly_padded() if isinstance(conv, SameConv2d) else (conv.weight, conv.padding)
    padding = [padding] * 2 if isinstance(padding, int) else list(padding)
    where = (padding, conv.stride, conv.dilation, conv.groups)
    plain = weight.detach().to(input.dtype).contiguous().to_mkldnn()
    packed = torch.ops.aten.mkldnn_reorder_conv2d_weight(plain, *where, list(input.shape))
    return packed, None if conv.bias is None else conv.bias.to(input.dtype), *where


def _is_traced() -> bool:
    return torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]
