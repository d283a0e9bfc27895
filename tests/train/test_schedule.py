"""What follows from a step's number: rates, random numbers, and whose turn it is."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from training_run import CORE, PRETRAIN, tiny_run

from smirk3d.train.config import OptimizerConfig
from smirk3d.train.schedule import cycle_update_target, learning_rate_factor, step_generator


def factors(steps: int, **changes: float | None) -> list[float]:
    stage = replace(CORE, steps=steps)
    config = tiny_run(Path("out"), stage, optimizer=OptimizerConfig(**changes))  # type: ignore[arg-type]
    return [learning_rate_factor(config, step) for step in range(steps)]


def test_the_rate_falls_along_a_cosine_and_starts_anew() -> None:
    found = factors(25, cosine_samples=40, cosine_floor=0.1)  # ten steps of four faces
    parameter = torch.nn.Parameter(torch.zeros(1))
    adam = torch.optim.Adam([parameter], lr=1.0)
    oracle = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(adam, T_0=10, eta_min=0.1)
    for factor in found:
        assert factor == pytest.approx(oracle.get_last_lr()[0])
        adam.step()
        oracle.step()


def test_one_cosine_over_the_stage() -> None:
    found = factors(200, cosine_samples=None, cosine_floor=0.01)
    assert found[0] == 1 and found[100] == pytest.approx(0.505) and found[-1] == pytest.approx(0.01, abs=1e-3)
    assert all(a > b for a, b in pairwise(found))


def test_a_cosine_that_batches_do_not_divide() -> None:
    found = factors(20, cosine_samples=10)
    assert all(0.01 <= factor <= 1 for factor in found)
    assert found[:5] == pytest.approx(found[5:10])


def test_random_numbers_are_those_of_step_and_process() -> None:
    def draw(*key: int) -> float:
        return float(torch.rand((), generator=step_generator(*key)))

    assert draw(1, 2, 3) == draw(1, 2, 3)
    keys = [(seed, step, rank) for seed in (0, 1, 2**32 - 1) for step in range(20) for rank in range(4)]
    assert len({draw(*key) for key in keys}) == len(keys)


def test_who_learns_in_the_cycle_path() -> None:
    assert [cycle_update_target(CORE, step) for step in range(4)] == ["encoder", "neural_renderer"] * 2
    assert cycle_update_target(PRETRAIN, 0) is None
    for name, learner in (("expression", "encoder"), ("neural_renderer", "neural_renderer")):
        stage = replace(CORE, trainable=(name,))
        assert {cycle_update_target(stage, step) for step in range(3)} == {learner}
