"""One step down: who moves, how far, and who keeps still."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from training_context import small_head, small_networks
from training_run import CORE, stand_in, tiny_run

from smirk3d.train.config import OptimizerConfig, StageConfig
from smirk3d.train.engine import launch
from smirk3d.train.losses.losses import LossTerms
from smirk3d.train.networks import Networks
from smirk3d.train.optimization import Optimization
from smirk3d.train.tasks.synthesis import SynthesisTask
from smirk3d.train.tasks.task import Clip, Update, Workbench

OPTIMIZER = OptimizerConfig(lr=1e-3, encoder_lr_scale=0.5, neural_renderer_betas=(0.4, 0.9), cosine_samples=16)


def make(stage: StageConfig = CORE) -> tuple[Networks, Optimization]:
    networks = small_networks(small_head("arkit"))
    config = tiny_run(Path("out"), stage, optimizer=OPTIMIZER)
    fabric = launch(config.engine)
    with pytest.MonkeyPatch.context() as monkeypatch:
        stand_in(monkeypatch.setattr)
        task = SynthesisTask(Workbench(config, config, fabric, small_head("arkit"), networks, {}))
    return networks, Optimization(task.groups(), networks, fabric)


def factor(step: int) -> float:
    """A cosine of four steps."""
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / 4))


def outcome(networks: Networks, *names: str, clip: Clip | None = None) -> Update:
    """A loss with the gradient 3 in all weights of some networks."""
    parameters = [parameter for name in names for parameter in networks.parts()[name].parameters()]
    value = torch.stack([parameter.sum() for parameter in parameters]).sum().view(1)
    return Update("path", LossTerms({"sum": value}), {"sum": 3.0}, clip=clip)


def weights(networks: Networks) -> dict[str, list[Tensor]]:
    return {name: [p.detach().clone() for p in part.parameters()] for name, part in networks.parts().items()}


@pytest.mark.parametrize("names", [("expression",), ("neural_renderer",), ("expression", "neural_renderer")])
def test_what_has_no_gradient_stays(names: tuple[str, ...]) -> None:
    networks, optimization = make()
    before = weights(networks)
    for step in range(2):
        optimization.start_step(factor(step))
        norms = optimization.optimizer_step(outcome(networks, *names))
    assert set(norms) == {"neural_renderer" if name == "neural_renderer" else "encoder" for name in names}
    after = weights(networks)
    for name, old in before.items():
        moved = max(float((a - b).abs().max()) for a, b in zip(after[name], old))
        # Adam moves by its learning rate where the gradient is constant: a full rate, and the next of four on a cosine.
        rate = (1e-3 if name == "neural_renderer" else 0.5e-3) * (1 + 0.01 + 0.99 * 0.5 * (1 + 2**-0.5))
        assert moved == pytest.approx(rate if name in names else 0, rel=1e-2), name


def test_only_the_neural_renderer_is_clipped() -> None:
    networks, optimization = make()
    clip = Clip(("neural_renderer",), 0.1)
    found = optimization.optimizer_step(outcome(networks, "expression", "neural_renderer", clip=clip))
    for name, key in (("expression", "encoder"), ("neural_renderer", "neural_renderer")):
        parameters = list(networks.parts()[name].parameters())
        norm = 3 * sum(parameter.numel() for parameter in parameters) ** 0.5
        assert found[key] == pytest.approx(norm, rel=1e-4)
        kept = torch.cat([parameter.grad.flatten() for parameter in parameters if parameter.grad is not None])
        assert float(kept.norm()) == pytest.approx(0.1 if name == "neural_renderer" else norm, rel=1e-4)


def test_groups_have_the_rates_and_averages_of_the_configuration() -> None:
    networks, optimization = make(replace(CORE, trainable=("neural_renderer", "pose", "expression")))
    encoder, renderer = optimization.adam.param_groups
    assert (encoder["lr"], encoder["betas"], renderer["lr"], renderer["betas"]) == (
        0.5e-3,
        (0.9, 0.999),
        1e-3,
        (0.4, 0.9),
    )
    learning = {id(p) for name in ("pose", "expression") for p in networks.parts()[name].parameters()}
    assert {id(parameter) for parameter in encoder["params"]} == learning
    optimization.start_step(factor(2))
    assert optimization.rates == pytest.approx({"encoder": 0.505 * 0.5e-3, "neural_renderer": 0.505e-3})
