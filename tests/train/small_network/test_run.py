"""The loop of small networks, by a line fitted to points: best weights, header, metrics, resumption, faults."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from interrupted_training import interrupt_in_step
from safetensors import safe_open
from torch import Tensor, nn

from smirk3d.errors import Smirk3dError, UsageError
from smirk3d.networks.half_file import load_half
from smirk3d.train.averaged_update import UpdateSettings
from smirk3d.train.metrics import read_metrics
from smirk3d.train.provenance import DATA
from smirk3d.train.small_network.batch_rows import batch_rows
from smirk3d.train.small_network.config import NetworkEngineConfig, check_optimizer
from smirk3d.train.small_network.run import BEST_NAME, TrainResult, train_network
from smirk3d.train.small_network.task import FinalNetwork, NetworkTask, StepLosses, TrainPlan

POINTS = torch.linspace(-1, 1, 16)[:, None]


@dataclass(frozen=True, kw_only=True)
class LineConfig:
    out_dir: Path
    seed: int = 3
    lr: float = 0.1
    weight_decay: float = 0.0
    ema: float = 0.5
    steps: int = 12
    engine: NetworkEngineConfig = field(default_factory=lambda: NetworkEngineConfig(save_every=5))

    def __post_init__(self) -> None:
        check_optimizer(self)


class Counter:
    """A state beside the network."""

    def __init__(self) -> None:
        self.steps = torch.zeros(1)

    def state_dict(self) -> dict[str, Tensor]:
        return {"steps": self.steps.clone()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        self.steps = state_dict["steps"]


class LineTask(NetworkTask[nn.Linear]):
    """Fits y = 2 x + 1; validations are as good as `scores` say, the last one counts without them."""

    def __init__(self, config: LineConfig, scores: tuple[float, ...] = ()) -> None:
        torch.manual_seed(config.seed)
        self.network, self.counter, self.scores = nn.Linear(1, 1), Counter(), scores
        self.plan = TrainPlan(config.steps, 4, UpdateSettings(config.lr, config.weight_decay, config.ema))
        self.record: dict[str, Any] = {DATA: "points", "validations": 0}
        self.seed = config.seed

    def losses(self, step: int, average: nn.Linear) -> StepLosses:
        points = POINTS[batch_rows(len(POINTS), 4, step, self.seed)]
        error = (self.network(points) - 2 * points - 1).square().mean()
        return StepLosses(
            {"error": error, "size": 0.001 * self.network.weight.square().sum()}, 4, {"step": float(step)}
        )

    def after_step(self, step: int, average: nn.Linear) -> None:
        self.counter.steps += 1

    def validate(self, average: nn.Linear) -> dict[str, float]:
        self.record["validations"] += 1
        return {"weight": float(average.weight), "number": float(self.record["validations"])}

    def score(self, measures: Mapping[str, float]) -> float | None:
        return self.scores[int(measures["number"]) - 1] if self.scores else None

    def finish(self, average: nn.Linear, measures: Mapping[str, float]) -> FinalNetwork:
        return FinalNetwork(average, {**measures, "steps": float(self.counter.steps)}, {"extra": "fact"})

    def stateful_parts(self) -> dict[str, Counter]:
        return {"counter": self.counter}


def _train(config: LineConfig, scores: tuple[float, ...] = (), resume: bool = False) -> TrainResult:
    weights = config.out_dir / "line.safetensors"
    return train_network(config, lambda _: LineTask(config, scores), weights, resume=resume, report=lambda line: None)


def _loaded(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    network = nn.Linear(1, 1)
    load_half(network, path, "a line", "train it")
    with safe_open(path, "pt") as file:
        return network.state_dict(), json.loads(file.metadata()["about"])


def test_a_run_learns_and_exports_the_averaged_weights_with_their_origin(tmp_path: Path) -> None:
    config = LineConfig(out_dir=tmp_path / "run", steps=200)
    result = _train(config)
    assert not result.is_interrupted and result.step == result.steps == 200
    state, about = _loaded(result.weights)
    assert float(state["weight"]) == pytest.approx(2, abs=0.05) and float(state["bias"]) == pytest.approx(1, abs=0.05)
    assert {"seed", "commit", "config", "data", "measures", "extra"} <= set(about) and about["step"] == "200"
    assert json.loads(about["measures"]) == result.measures and result.measures["steps"] == 200
    assert float(state["weight"]) == pytest.approx(result.measures["weight"], rel=1e-3)
    assert str(tmp_path) not in json.dumps(about)
    metrics = read_metrics(config.out_dir)
    assert set(metrics["val/weight"]) == {3 + 4 * k for k in range(50)} and len(metrics["error"]) == 200
    assert metrics["step"][7] == 7 and metrics["error"][199] < metrics["error"][0]


def test_the_best_weights_are_kept_where_validations_are_compared(tmp_path: Path) -> None:
    result = _train(LineConfig(out_dir=tmp_path / "run"), scores=(1.0, 5.0, 2.0))
    assert result.measures["number"] == 2
    state, about = _loaded(result.weights)
    best, best_about = _loaded(tmp_path / "run" / BEST_NAME)
    assert about["step"] == best_about["step"] == "8" and torch.equal(state["weight"], best["weight"])
    assert float(state["weight"]) == pytest.approx(result.measures["weight"], rel=1e-3)
    assert _train(LineConfig(out_dir=tmp_path / "last")).measures["number"] == 3
    assert not (tmp_path / "last" / BEST_NAME).exists()


@pytest.mark.parametrize("scores", [(), (1.0, 5.0, 2.0)])
@pytest.mark.parametrize("interrupted", [0, 4, 8])
def test_a_resumed_run_repeats_an_uninterrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scores: tuple[float, ...], interrupted: int
) -> None:
    whole, cut = (LineConfig(out_dir=tmp_path / name) for name in ("whole", "cut"))
    result = _train(whole, scores)
    with monkeypatch.context() as patch:
        interrupt_in_step(patch, interrupted)
        stopped = _train(cut, scores)
    assert stopped.is_interrupted and stopped.step == interrupted + 1 and not stopped.measures
    assert not stopped.weights.exists()
    resumed = _train(cut, scores, resume=True)
    assert resumed.measures == result.measures
    one, other = (_loaded(each.weights)[0] for each in (result, resumed))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert [path.name for path in sorted(cut.out_dir.glob("*.pt"))] == ["step_00000010.pt", "step_00000012.pt"]


def test_a_finished_run_can_be_exported_again(tmp_path: Path) -> None:
    config = LineConfig(out_dir=tmp_path / "run")
    result = _train(config, (1.0, 5.0, 2.0))
    before = result.weights.read_bytes()
    result.weights.unlink()
    assert _train(config, (1.0, 5.0, 2.0), resume=True) == result and result.weights.read_bytes() == before


def test_faults_are_errors(tmp_path: Path) -> None:
    config = LineConfig(out_dir=tmp_path / "run")
    _train(config)
    with pytest.raises(UsageError, match="is not empty"):
        _train(config)
    with pytest.raises(Smirk3dError, match=r"seed was 3, now 4"):
        _train(LineConfig(out_dir=tmp_path / "run", seed=4), resume=True)
    with pytest.raises(ValueError, match="ema must be in"):
        LineConfig(out_dir=tmp_path, ema=2)
    with pytest.raises(Smirk3dError, match="step 1: the loss is not finite"):
        _train(LineConfig(out_dir=tmp_path / "far", lr=1e30))


def test_a_missing_file_of_best_weights_is_named(tmp_path: Path) -> None:
    config = LineConfig(out_dir=tmp_path / "run")
    _train(config, (1.0, 5.0, 2.0))
    (tmp_path / "run" / BEST_NAME).unlink()
    with pytest.raises(Smirk3dError, match=r"best\.safetensors: cannot be read as the best weights of this run"):
        _train(config, (1.0, 5.0, 2.0), resume=True)


def test_a_pass_takes_each_sample_once() -> None:
    rows = torch.cat([batch_rows(13, 4, step, 0) for step in range(3)])
    assert len(set(rows.tolist())) == 12
    assert not torch.equal(rows, torch.cat([batch_rows(13, 4, step, 0) for step in range(3, 6)]))
    assert torch.equal(batch_rows(13, 4, 1, 0), batch_rows(13, 4, 1, 0)) and len(batch_rows(3, 4, 0, 0)) == 3
