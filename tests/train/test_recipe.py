"""A whole recipe on tiny networks: its stages, that it can be stopped anywhere, and what it hands on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from smirk3d.datasets.synthetic import rendered_faces
from smirk3d.networks.checkpoint import read_layout, read_networks, read_remarks
from smirk3d.networks.encoder import Encoder
from smirk3d.train import loop, validation
from smirk3d.train.config import TrainConfig
from smirk3d.train.config_file import load_config
from smirk3d.train.loop import TrainResult, train
from smirk3d.train.metrics import read_metrics

OPEN = Path(__file__).parents[2] / "configs" / "recipes" / "open.yaml"
STEPS = {"pose": 2, "shape": 2, "expression": 4, "neural_renderer": 2, "core": 4, "finish": 1}
TINY = [
    "data={sources: [{kind: rendered, count: 16, seed: 5}], size: 48, batch_size: 4}",
    "encoder.window.size_px=48",
    "neural_renderer_width=4",
    *(f"stages.{name}.data={{}}" for name in STEPS if name != "finish"),
    *(f"stages.{name}.regression_steps=12" for name in ("pose", "shape", "expression")),
    *(f"stages.{name}.steps={steps}" for name, steps in STEPS.items() if name != "finish"),
    *("stages.neural_renderer.edited=1", "stages.neural_renderer.pairs=1", "stages.core.pairs=1"),
    *("stages.finish.average=2", "stages.finish.calibration_faces=16", "stages.finish.error_faces=16"),
    *("validation.faces=16", "validation.every=2"),
    *("engine.save_every=2", "engine.accelerator=cpu", "engine.gradients_every=2", "engine.preview_every=0"),
]


@pytest.fixture(scope="module", autouse=True)
def few_renders(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Render 16 faces where 256 are usual, and a few pairs, into a cache of its own."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("SMIRK3D_CACHE", str(tmp_path_factory.mktemp("cache")))
        monkeypatch.setattr(rendered_faces, "SHARD", 16)
        monkeypatch.setattr(validation, "PAIRS", 4)
        yield


def tiny_recipe(folder: Path, *overrides: str) -> TrainConfig:
    return load_config(OPEN, [*TINY, f"out_dir={folder}", *overrides])


class Killed(Exception):
    """A run that ends in the middle of a step."""


def kill_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    take = loop._step

    def step_or_die(stage: loop.StageRun, number: int, batch: Any) -> Any:
        if stage.first + number == step:
            raise Killed
        return take(stage, number, batch)

    monkeypatch.setattr(loop, "_step", step_or_die)


def contents(folder: Path) -> dict[str, Any]:
    """Return metrics, weights and headers; what depends on the folder or the time is left out."""
    metrics = read_metrics(folder)
    metrics.pop("faces_per_s")
    files = {path.name: read_networks(path) for path in sorted(folder.glob("*.safetensors"))}
    meta = {name: {key: text for key, text in file.meta.items() if key != "config"} for name, file in files.items()}
    return {"metrics": metrics, "meta": meta, "weights": {name: dict(file.tensors) for name, file in files.items()}}


@pytest.mark.slow
def test_a_recipe_that_was_killed_in_every_stage_equals_a_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, lines = tiny_recipe(tmp_path / "whole"), []
    total = sum(STEPS.values())
    assert train(whole, report=lines.append) == TrainResult(total, False, 0)
    assert [line for line in lines if line.endswith("steps")] == [f"stage {n}: {s} steps" for n, s in STEPS.items()]
    broken = tiny_recipe(tmp_path / "broken")
    for step in (2, 7, 9, 13, 14):  # within stages, and at their first steps
        with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
            kill_at(step, patch)
            train(broken, resume=step > 2)
    assert train(broken, resume=True) == TrainResult(total, False, 0)
    one, other = contents(whole.out_dir), contents(broken.out_dir)
    assert one["metrics"] == other["metrics"] and one["meta"] == other["meta"]
    for name, tensors in one["weights"].items():
        assert all(torch.equal(tensor, other["weights"][name][key]) for key, tensor in tensors.items()), name
    assert {path.name for path in whole.out_dir.iterdir()} == {path.name for path in broken.out_dir.iterdir()}
    _check_exported(whole)


def _check_exported(config: TrainConfig) -> None:
    """The file says where it comes from and how wrong it is, and can be used and trained further."""
    path = config.out_dir / "networks.safetensors"
    layout, meta = read_layout(path), read_remarks(path)
    assert layout is not None and layout.expression_std is not None
    assert all(0.05 < error < 2 for error in layout.expression_std)
    assert meta["stage"] == "finish" and meta["seed"] == "0" and len(meta["commit"]) >= 8
    assert json.loads(meta["data"]).keys() == STEPS.keys() - {"finish"}
    assert json.loads(meta["measures"])["core"].keys() >= {"correlation", "asymmetry_slope", "neutral", "cycle"}
    (config.out_dir / "again.yaml").write_text(meta["config"])
    # Folders are private: of absolute paths the last part is left.
    assert load_config(config.out_dir / "again.yaml") == replace(config, out_dir=Path(config.out_dir.name))
    assert Encoder.from_checkpoint(path).expression(torch.rand(1, 3, 48, 48))["expression"].shape == (1, 52)
    further = tiny_recipe(config.out_dir / "further", f"init={path}")
    one_stage = replace(further, stages=(replace(further.stages[2], start="present", steps=1),))
    assert train(one_stage).step == 1
