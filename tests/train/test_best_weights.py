"""The best weights of a stage: which they are, and that they come back."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from training_context import small_head, small_networks
from training_run import tiny_run

from smirk3d.train.best_weights import BestWeights, best_path
from smirk3d.train.networks import Networks
from smirk3d.train.tasks.task import Criterion


def _set(networks: Networks, value: float) -> None:
    with torch.no_grad():
        for parameter in networks.encoder.parameters():
            parameter.fill_(value)


def _value(networks: Networks) -> float:
    return float(next(networks.encoder.parameters()).detach().flatten()[0])


def _tried(folder: Path, record: dict[str, Any], values: dict[int, float], criterion: Criterion) -> BestWeights:
    """Validate at steps, with weights equal to the step."""
    folder.mkdir(exist_ok=True)
    networks = small_networks(small_head("arkit"))
    best = BestWeights(tiny_run(folder), "core", criterion, networks, record)
    for step, value in values.items():
        _set(networks, step)
        best.consider({"m": value, "other": -value}, step)
    best.restore(lambda text: None)
    record["restored"] = _value(networks)
    return best


def test_the_best_comes_back_in_either_direction(tmp_path: Path) -> None:
    values = {0: 0.3, 1: 0.7, 2: 0.5, 3: float("nan")}
    for is_error, step in ((False, 1), (True, 0)):
        record: dict[str, Any] = {}
        _tried(tmp_path / str(step), record, values, Criterion("m", is_error))
        assert record["restored"] == step and record["best"] == {"stage": "core", "value": values[step], "step": step}


def test_a_run_that_was_killed_after_its_best_repeats_it(tmp_path: Path) -> None:
    criterion, record = Criterion("m"), {}
    _tried(tmp_path, record, {0: 0.3, 1: 0.2, 2: 0.9}, criterion)
    whole = best_path(tmp_path, "core").read_bytes()
    earlier = {"best": {"stage": "core", "value": 0.3, "step": 0}, "measures": {"core": {"m": 0.3, "other": -0.3}}}
    resumed = copy.deepcopy(earlier)  # the checkpoint is from before steps 1 and 2
    _tried(tmp_path, resumed, {1: 0.2, 2: 0.9}, criterion)
    assert best_path(tmp_path, "core").read_bytes() == whole and resumed["best"] == record["best"]


def test_the_best_of_another_stage_does_not_count(tmp_path: Path) -> None:
    record = {"best": {"stage": "pose", "value": 9.0, "step": 5}}
    _tried(tmp_path, record, {7: 0.1}, Criterion("m"))
    assert record["best"]["stage"] == "core" and record["measures"]["core"]["m"] == 0.1
    assert _tried(tmp_path, {}, {}, Criterion("m")).path.exists()  # nothing to restore, nothing lost
