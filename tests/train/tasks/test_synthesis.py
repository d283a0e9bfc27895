"""The synthesis task: frozen statistics, learning rates, pairs, and losses in the published form."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from training_context import seeded, small_batch, small_context, small_head, small_networks
from training_run import CORE, stand_in, tiny_run

from smirk3d.train.config import OptimizerConfig, StageConfig
from smirk3d.train.engine import launch
from smirk3d.train.initialization import RENDERER_TRAINED
from smirk3d.train.loss_config import LossWeights
from smirk3d.train.optimization import Optimization
from smirk3d.train.recipes.analysis_by_synthesis import reconstruction_step
from smirk3d.train.tasks.synthesis import SynthesisTask
from smirk3d.train.tasks.task import Workbench

NAMES = ("expression", "neural_renderer")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch.setattr)


def task_of(stage: StageConfig = CORE, record: dict[str, Any] | None = None, **changes: Any) -> SynthesisTask:
    head = small_head("arkit")
    config = tiny_run(Path("out"), stage, **changes)
    return SynthesisTask(Workbench(config, config, launch(config.engine), head, small_networks(head), record or {}))


def statistics(task: SynthesisTask, name: str) -> list[torch.Tensor]:
    part = task.bench.networks.parts()[name]
    return [norm.running_mean.clone() for norm in part.modules() if isinstance(norm, nn.BatchNorm2d)]


@pytest.mark.parametrize("frozen", [(), NAMES])
def test_frozen_batch_norms_keep_their_statistics_and_still_learn(frozen: tuple) -> None:
    task = task_of(replace(CORE, frozen_batch_norm=frozen))
    before = {name: statistics(task, name) for name in NAMES}
    weights = [each.detach().clone() for each in task.bench.networks.parts()["expression"].parameters()]
    optimization = Optimization(task.groups(), task.bench.networks, task.bench.fabric)
    for step in range(2):
        optimization.start_step(1.0)
        for update in task.updates(small_batch(small_head("arkit"), seed=step), step):
            optimization.optimizer_step(update)
    for name in NAMES:
        same = [torch.equal(a, b) for a, b in zip(before[name], statistics(task, name))]
        assert all(same) if frozen else not any(same), name
    moved = zip(weights, task.bench.networks.parts()["expression"].parameters())
    assert any(not torch.equal(a, b) for a, b in moved)


@pytest.mark.parametrize(
    ("lr", "is_trained", "expected"), [(None, False, 1e-3), (None, True, 5e-5), (2e-4, False, 2e-4), (2e-4, True, 2e-4)]
)
def test_a_trained_neural_renderer_learns_slowly(lr: float | None, is_trained: bool, expected: float) -> None:
    record = {RENDERER_TRAINED: True} if is_trained else {}
    task = task_of(record=record, optimizer=OptimizerConfig(lr=1e-3, neural_renderer_lr=lr))
    rates = {group.name: group.lr for group in task.groups()}
    assert rates == {"encoder": 0.25e-3, "neural_renderer": expected}
    task.complete()
    assert task.bench.record[RENDERER_TRAINED] is True


def test_the_gradients_of_the_losses_add_up() -> None:
    task = task_of()
    optimization = Optimization(task.groups(), task.bench.networks, task.bench.fabric)
    update = next(iter(task.updates(small_batch(small_head("arkit")), 0)))
    shares = optimization.loss_gradients(update)
    assert {"landmark/encoder", "photo/encoder", "photo/neural_renderer", "expression/encoder"} == set(shares)
    optimization.start_step(0.0)
    norms = optimization.optimizer_step(update)
    assert shares["photo/neural_renderer"] == pytest.approx(norms["neural_renderer"], rel=1e-4)  # the only one
    encoder = [norm for name, norm in shares.items() if name.endswith("/encoder")]
    assert max(encoder) - (sum(encoder) - max(encoder)) <= norms["encoder"] <= sum(encoder) * (1 + 1e-6)


def test_the_published_form_of_the_losses() -> None:
    head, losses = small_head(), LossWeights(landmark=1, perceptual=1, expression=1, jaw=1)
    batch = small_batch(head)
    contour = replace(batch, contour_ndc=batch.landmarks_ndc[:, :17] + 0.1, contour_weight=torch.ones(4))
    found = {}
    for form in (False, True):
        context = small_context(head, losses=losses, published_losses=form)
        for name, each in (("plain", batch), ("contour", contour)):
            step = reconstruction_step(small_networks(head), context, each, seeded(3))
            found[name, form] = step.terms.means()
    plain, published = found["plain", False], found["plain", True]
    assert float(plain["expression"] / published["expression"]) == pytest.approx(head.n_expression, rel=1e-5)
    assert float(plain["jaw"] / published["jaw"]) == pytest.approx(3, rel=1e-5)
    assert torch.equal(plain["landmark"], published["landmark"])  # one mean over MediaPipe's points
    outline = found["contour", True]["landmark"] - published["landmark"]
    count, total = 17, 478 + 17
    joint = (published["landmark"] * (total - count) + outline * count) / total
    assert float(found["contour", False]["landmark"]) == pytest.approx(float(joint), rel=0.02)
