"""The optimiser step: gradients, clipping, learning rates."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from smirk3d.errors import Smirk3dError
from smirk3d.train.config import TrainConfig
from smirk3d.train.engine import any_of, average_gradients, average_statistics
from smirk3d.train.networks import Networks
from smirk3d.train.recipes.analysis_by_synthesis import StepOutput
from smirk3d.train.schedule import learning_rate_factor

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class DivergedError(Smirk3dError):
    """A loss or gradient is not finite; the weights are those of the step before."""


class Optimization:
    """Adam over the trainable networks, with one learning rate for the encoder and one for the neural renderer.

    One optimiser serves both paths of a step: parameters without a gradient in a path keep their values and moments.

    Args:
        networks: Networks on their device.
        config: Training run.
        fabric: Launched Fabric.

    Attributes:
        adam: The optimiser; each parameter group has a `name`, encoder or neural_renderer.
    """

    def __init__(self, networks: Networks, config: TrainConfig, fabric: Fabric) -> None:
        self._networks, self._config, self._fabric = networks, config, fabric
        self.adam = torch.optim.Adam(_parameter_groups(networks, config))
        self._stepper: Any = fabric.setup_optimizers(self.adam)  # wraps the loss scaling of 16-mixed
        self._base_rates = [group["lr"] for group in self.adam.param_groups]

    @property
    def rates(self) -> dict[str, float]:
        """Current learning rates by name of the group."""
        return {group["name"]: group["lr"] for group in self.adam.param_groups}

    def start_step(self, step: int) -> None:
        """Set the learning rates of a step."""
        factor = learning_rate_factor(self._config, step)
        for group, rate in zip(self.adam.param_groups, self._base_rates):
            group["lr"] = rate * factor

    def optimizer_step(self, output: StepOutput, clip_norm: float = math.inf) -> dict[str, float]:
        """Update the weights by the gradient of a loss.

        Args:
            output: Output of a training path in this process.
            clip_norm: Largest gradient norm of the neural renderer.

        Returns:
            Gradient norms before clipping, by name of the group, for the groups that have gradients.

        Raises:
            DivergedError: The loss or a gradient is not finite in some process; no weight is changed.
            Smirk3dError: The loss does not depend on any trainable network.
        """
        loss = output.loss
        if not loss.requires_grad:
            names, networks = ", ".join(output.terms.names), ", ".join(self._config.stage.trainable)
            raise Smirk3dError(
                f"the losses {names} teach nothing to {networks}; change stage.losses or stage.trainable"
            )
        if any_of(not bool(loss.isfinite()), self._fabric):
            bad = [name for name, mean in output.terms.means().items() if not mean.isfinite()]
            raise DivergedError(f"the loss is not finite ({', '.join(bad) or 'in another process'})")
        self.adam.zero_grad(set_to_none=True)
        self._fabric.backward(loss)
        norms = self._prepare_gradients(clip_norm)
        if not all(math.isfinite(norm) for norm in norms.values()) and self._config.engine.precision != "16-mixed":
            raise DivergedError("the gradient is not finite")  # 16-mixed: the loss scaler skips such a step
        self._stepper.step()
        average_statistics(self._networks, self._fabric)
        return norms

    def _prepare_gradients(self, clip_norm: float) -> dict[str, float]:
        """Average over processes, unscale and clip; returns the norms before clipping."""
        for group in self.adam.param_groups:
            average_gradients(group["params"], self._fabric)
        self._fabric.strategy.precision.unscale_gradients(self.adam)
        norms: dict[str, Tensor] = {}
        for group in self.adam.param_groups:
            if any(parameter.grad is not None for parameter in group["params"]):
                limit = clip_norm if group["name"] == "neural_renderer" else math.inf
                norms[group["name"]] = nn.utils.clip_grad_norm_(group["params"], limit)
        return {name: float(norm) for name, norm in norms.items()}


def _parameter_groups(networks: Networks, config: TrainConfig) -> list[dict]:
    """Return Adam's parameter groups with their learning rates and, for the neural renderer, its betas."""
    optimizer = config.optimizer
    trainable = {name: part for name, part in networks.parts().items() if name in config.stage.trainable}
    renderer = trainable.pop("neural_renderer", None)
    groups = []
    if trainable:
        parameters = [parameter for part in trainable.values() for parameter in part.parameters()]
        groups.append({"name": "encoder", "params": parameters, "lr": optimizer.lr * optimizer.encoder_lr_scale})
    if renderer is not None:
        betas = optimizer.neural_renderer_betas
        groups.append(
            {"name": "neural_renderer", "params": list(renderer.parameters()), "lr": optimizer.lr, "betas": betas}
        )
    return groups
