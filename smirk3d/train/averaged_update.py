"""A step of AdamW with a warm-up, half a cosine, and an exponential moving average of the weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from smirk3d.errors import Smirk3dError
from smirk3d.train.schedule import warm_cosine


@dataclass(frozen=True)
class UpdateSettings:
    """How weights change.

    Attributes:
        lr: Largest learning rate.
        weight_decay: Weight decay of AdamW.
        ema: Decay of the moving average.
        max_gradient_norm: Norm to which longer gradients are shortened.
        warm_up_share: Share of the steps in which the learning rate rises.
        betas: Of AdamW.
        decays_all: Biases and factors of normalisations decay as well.
    """

    lr: float
    weight_decay: float
    ema: float
    max_gradient_norm: float = 5.0
    warm_up_share: float = 0.05
    betas: tuple[float, float] = (0.9, 0.999)
    decays_all: bool = False


def make_optimizer(network: nn.Module, settings: UpdateSettings) -> torch.optim.AdamW:
    """Return AdamW for the weights of a network that can change."""
    groups = _decay_groups(network, settings.weight_decay)
    if settings.decays_all:
        groups = [{"params": list(network.parameters()), "weight_decay": settings.weight_decay}]
    return torch.optim.AdamW(groups, lr=settings.lr, betas=settings.betas)


def _decay_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
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
    progress: tuple[int, int],
    settings: UpdateSettings,
) -> None:
    """Change the weights of a network by the gradient of a loss, and their moving average.

    Args:
        network: What learns.
        average: A copy of it, which follows.
        optimizer: Of the network.
        loss: ().
        progress: Number of the step, from 0, and the steps of the run.
        settings: Learning rate and so on.

    Raises:
        Smirk3dError: The loss is not finite.
    """
    step, steps = progress
    if not bool(loss.isfinite()):
        raise Smirk3dError(f"step {step}: the loss is not finite; take a smaller lr")
    factor = warm_cosine(step, steps, max(1.0, settings.warm_up_share * steps))
    for group in optimizer.param_groups:
        group["lr"] = settings.lr * factor
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), settings.max_gradient_norm)
    optimizer.step()
    decay = min(settings.ema, (1 + step) / (10 + step))
    with torch.no_grad():
        for mean, value in zip(average.state_dict().values(), network.state_dict().values()):
            mean.lerp_(value, 1 - decay) if mean.is_floating_point() else mean.copy_(value)
