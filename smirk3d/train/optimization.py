"""From a loss to changed weights."""

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
from smirk3d.train.schedule import rate_factor

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class DivergedError(Smirk3dError):
    """A loss or a gradient that is no finite number; the weights are still those of the step before."""


class Optimization:
    """Adam over the networks that learn, with a learning rate for the encoders and one for the generator.

    One optimiser serves both paths of a step: what has no gradient in a path is left alone, its averages too.

    Args:
        networks: On their device.
        config: The run.
        fabric: Launched.

    Attributes:
        adam: The optimiser; each of its groups has a `name`, encoder or generator.

    Source: METHOD section 7.
    """

    def __init__(self, networks: Networks, config: TrainConfig, fabric: Fabric) -> None:
        self._networks, self._config, self._fabric = networks, config, fabric
        self.adam = torch.optim.Adam(_parameter_groups(networks, config))
        self._stepper: Any = fabric.setup_optimizers(self.adam)  # knows the scale of losses in 16 bits
        self._full_rates = [group["lr"] for group in self.adam.param_groups]

    @property
    def rates(self) -> dict[str, float]:
        """Learning rates by name of the group."""
        return {group["name"]: group["lr"] for group in self.adam.param_groups}

    def start_step(self, step: int) -> None:
        """Set the learning rates of a step."""
        factor = rate_factor(self._config, step)
        for group, rate in zip(self.adam.param_groups, self._full_rates):
            group["lr"] = rate * factor

    def optimizer_step(self, outcome: StepOutput, clip_norm: float = math.inf) -> dict[str, float]:
        """Change the weights by the gradient of a loss.

        Args:
            outcome: What was computed in this process.
            clip_norm: A gradient of the generator that is longer is made this long.

        Returns:
            Norms of the gradients before that, by name of the group, for those that have any.

        Raises:
            DivergedError: The loss or a gradient is not finite in some process; all weights stay as they are.
            Smirk3dError: The loss does not depend on anything that learns.
        """
        loss = outcome.loss
        if not loss.requires_grad:
            names, networks = ", ".join(outcome.terms.names), ", ".join(self._config.stage.trainable)
            raise Smirk3dError(
                f"the losses {names} teach nothing to {networks}; change stage.losses or stage.trainable"
            )
        if any_of(not bool(loss.isfinite()), self._fabric):
            bad = [name for name, mean in outcome.terms.means().items() if not mean.isfinite()]
            raise DivergedError(f"the loss is not finite ({', '.join(bad) or 'in another process'})")
        self.adam.zero_grad(set_to_none=True)
        self._fabric.backward(loss)
        norms = self._prepare_gradients(clip_norm)
        if not all(math.isfinite(norm) for norm in norms.values()) and self._config.engine.precision != "16-mixed":
            raise DivergedError("the gradient is not finite")  # in 16 bits the scaler leaves such a step out
        self._stepper.step()
        average_statistics(self._networks, self._fabric)
        return norms

    def _prepare_gradients(self, clip_norm: float) -> dict[str, float]:
        """Average, unscale and clip; returns the norms before clipping."""
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
    """List what learns, with its learning rate and, for the generator, its averaging."""
    optimizer = config.optimizer
    learning = {name: part for name, part in networks.parts().items() if name in config.stage.trainable}
    renderer = learning.pop("neural_renderer", None)
    groups = []
    if learning:
        parameters = [parameter for part in learning.values() for parameter in part.parameters()]
        groups.append({"name": "encoder", "params": parameters, "lr": optimizer.lr * optimizer.encoder_lr_scale})
    if renderer is not None:
        betas = optimizer.neural_renderer_betas
        groups.append(
            {"name": "neural_renderer", "params": list(renderer.parameters()), "lr": optimizer.lr, "betas": betas}
        )
    return groups
