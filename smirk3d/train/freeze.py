"""Networks that take part in a training step without learning from it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def freeze(*modules: nn.Module) -> Iterator[None]:
    """Keep modules as they are: no gradient reaches their parameters, and their statistics stand still.

    They are in eval mode, since batch norms change their running statistics in train mode whether or not anything
    requires a gradient. Gradients still pass through to what the modules are given. Afterwards, also after an
    exception, every parameter and every sub-module is as it was: parts frozen before stay frozen. `backward` may be
    called inside or after the block.

    Args:
        modules: To be frozen; any may occur twice or be part of another.
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
        for part, mode in modes:  # not part.train(mode), which a part may have changed
            part.training = mode
