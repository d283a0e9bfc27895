"""The optimiser step: gradients, clipping, learning rates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from smirk3d.errors import Smirk3dError
from smirk3d.train.engine import any_of, average_gradients, average_statistics
from smirk3d.train.networks import Networks
from smirk3d.train.tasks.task import Clip, ParameterGroup, Update

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_SCALED = "16-mixed"
"""Precision in which losses are scaled and steps with gradients that are not finite are skipped."""


class DivergedError(Smirk3dError):
    """A loss or gradient is not finite; the weights are those of the step before."""


class Optimization:
    """Adam over the parameters of a stage, in groups with learning rates of their own.

    One optimiser serves all updates of a step: parameters without a gradient in one keep their values and moments.

    Args:
        groups: Parameters that learn.
        networks: The networks of the run, whose batch norms are kept equal over the processes.
        fabric: Launched Fabric.

    Attributes:
        adam: The optimiser; each parameter group has a `name`, and `base_lr`, the rate before the schedule.
    """

    def __init__(self, groups: Sequence[ParameterGroup], networks: Networks, fabric: Fabric) -> None:
        self._networks, self._fabric = networks, fabric
        # With a weight decay of 0, AdamW is Adam.
        self.adam = torch.optim.AdamW([_adam_group(group) for group in groups])
        self._stepper: Any = fabric.setup_optimizers(self.adam)  # wraps the loss scaling of 16-mixed

    @property
    def rates(self) -> dict[str, float]:
        """Current learning rates by name of the group."""
        return {group["name"]: group["lr"] for group in self.adam.param_groups}

    def start_step(self, factor: float) -> None:
        """Set the learning rates of a step: a factor on the base rates."""
        for group in self.adam.param_groups:
            group["lr"] = group["base_lr"] * factor

    def optimizer_step(self, update: Update) -> dict[str, float]:
        """Update the weights by the gradient of a loss.

        Args:
            update: Losses of this process.

        Returns:
            Gradient norms before clipping, by name of the group, for the groups that have gradients.

        Raises:
            DivergedError: The loss or a gradient is not finite in some process; no weight is changed.
            Smirk3dError: The loss does not depend on any parameter that learns.
        """
        loss = update.loss
        if not loss.requires_grad:
            losses, groups = ", ".join(update.terms.names), ", ".join(self.rates)
            raise Smirk3dError(f"the losses {losses} teach nothing to {groups}; change stage.losses or stage.trainable")
        if any_of(not bool(loss.isfinite()), self._fabric):
            bad = [name for name, mean in update.terms.means().items() if not mean.isfinite()]
            raise DivergedError(f"the loss is not finite ({', '.join(bad) or 'in another process'})")
        self.adam.zero_grad(set_to_none=True)
        self._fabric.backward(loss)
        norms = self._prepare_gradients(update.clip)
        is_scaled = self._fabric.strategy.precision.precision == _SCALED
        if not is_scaled and not all(math.isfinite(norm) for norm in norms.values()):
            raise DivergedError("the gradient is not finite")  # 16-mixed: the loss scaler skips such a step
        self._stepper.step()
        average_statistics(self._networks, self._fabric)
        return norms

    def loss_gradients(self, update: Update) -> dict[str, float]:
        """Return the gradient norm of each weighted loss, "LOSS/GROUP" -> norm, of this process; nothing is changed.

        Args:
            update: Losses on a graph that is kept.
        """
        norms = {}
        for name, value in update.terms.values.items():
            for group in self.adam.param_groups if value.requires_grad else ():
                found = torch.autograd.grad(
                    update.weights[name] * value.mean(), group["params"], retain_graph=True, allow_unused=True
                )
                known = [gradient.norm() for gradient in found if gradient is not None]
                if known:
                    norms[f"{name}/{group['name']}"] = float(torch.stack(known).norm())
        return norms

    def _prepare_gradients(self, clip: Clip | None) -> dict[str, float]:
        """Average over processes, unscale and clip; returns the norms before clipping."""
        groups = {group["name"]: group["params"] for group in self.adam.param_groups}
        for parameters in groups.values():
            average_gradients(parameters, self._fabric)
        self._fabric.strategy.precision.unscale_gradients(self.adam)
        norms: dict[str, Tensor] = {}
        for name, parameters in groups.items():
            if any(parameter.grad is not None for parameter in parameters):
                norms[name] = nn.utils.clip_grad_norm_(parameters, math.inf)
        if clip is not None:
            clipped = [parameter for name in clip.groups for parameter in groups.get(name, ())]
            nn.utils.clip_grad_norm_(clipped, clip.norm)
        return {name: float(norm) for name, norm in norms.items()}


def _adam_group(group: ParameterGroup) -> dict[str, Any]:
    return {
        "name": group.name,
        "params": list(group.parameters),
        "lr": group.lr,
        "base_lr": group.lr,
        "betas": tuple(group.betas),
        "weight_decay": group.weight_decay,
    }
