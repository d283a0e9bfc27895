"""Freezing of networks during a training step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def freeze(*modules: nn.Module) -> Iterator[None]:
    """Freeze modules within the block: no gradient reaches their parameters, and batch norms keep their statistics.

    Modules are in eval mode, because batch norms update their running statistics in train mode whether or not anything
    requires a gradient. Gradients still pass through to the inputs. Afterwards, also after an exception, every
    parameter and every sub-module is as before: parts that were frozen stay frozen. `backward` may be called inside or
    after the block.

    Args:
        modules: Modules to freeze; one may occur twice or be part of another.
    """
    parameters = [(parameter, parameter.requires_grad) for module in modules for parameter in module.parameters()]
    modes = [(part, part.training) for module in modules for part in module.modules()]
    try:
        for module in modules:
            module.eval()
        for parameter, _ in parameters:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter, required in parameters:
            parameter.requires_grad_(required)
        for part, mode in modes:  # not part.train(mode), which a part may override
            part.training = mode


def freeze_statistics(network: nn.Module) -> None:
    """Let batch norms keep their statistics and normalise by them, in place; their other parameters still learn."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.train(False)
