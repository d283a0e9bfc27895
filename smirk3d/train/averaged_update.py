"""A step of AdamW with a warm-up, half a cosine, and an exponential moving average of the weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from smirk3d.errors import Smirk3dError
from smirk3d.train.schedule import warm_cosine

WARM_UP_SHARE = 0.05
"""Share of the steps in which the learning rate rises."""


@dataclass(frozen=True)
class UpdateSettings:
    """How weights change.

    Attributes:
        lr: Largest learning rate.
        steps: Steps of the run.
        ema: Decay of the moving average.
        largest_gradient: Norm to which longer gradients are shortened.
    """

    lr: float
    steps: int
    ema: float
    largest_gradient: float = 5.0


def decay_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return the parameters that decay, weights of layers, and the others."""
    parameters: Sequence[nn.Parameter] = [each for each in network.parameters() if each.requires_grad]
    return [
        {"params": [each for each in parameters if each.ndim > 1], "weight_decay": weight_decay},
        {"params": [each for each in parameters if each.ndim <= 1], "weight_decay": 0.0},
    ]


def averaged_update(
    network: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss: Tensor,
    step: int,
    settings: UpdateSettings,
) -> None:
    """Change the weights of a network by the gradient of a loss, and their moving average.

    Args:
        network: What learns.
        average: A copy of it, which follows.
        optimizer: Of the network.
        loss: ().
        step: Number of the step, from 0.
        settings: Learning rate and decay.

    Raises:
        Smirk3dError: The loss is not finite.
    """
    if not bool(loss.isfinite()):
        raise Smirk3dError(f"step {step}: the loss is not finite; take a smaller lr")
    factor = warm_cosine(step, settings.steps, max(1.0, WARM_UP_SHARE * settings.steps))
    for group in optimizer.param_groups:
        group["lr"] = settings.lr * factor
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), settings.largest_gradient)
    optimizer.step()
    decay = min(settings.ema, (1 + step) / (10 + step))
    with torch.no_grad():
        for mean, value in zip(average.state_dict().values(), network.state_dict().values()):
            mean.lerp_(value, 1 - decay) if mean.is_floating_point() else mean.copy_(value)
