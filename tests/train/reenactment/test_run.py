"""A tiny run of the transformer engine: results, provenance, resumption."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from interrupted_training import interrupt_in_step
from safetensors import safe_open

from smirk3d.datasets.synthetic import rendered_views
from smirk3d.errors import Smirk3dError
from smirk3d.reenactment.transformer.weights import load_networks
from smirk3d.train.config_file import load_record
from smirk3d.train.reenactment import data, task
from smirk3d.train.reenactment.config import ReenactmentTrainConfig
from smirk3d.train.reenactment.run import train_transformer, weights_path
from smirk3d.train.small_network.run import TrainResult

RECIPE = Path(__file__).parents[3] / "configs" / "recipes" / "fsrt.yaml"
TINY = (
    *("layout.size_px=32", "layout.width=24", "layout.heads=2", "layout.hidden=32", "layout.encoder_layers=1"),
    *("steps=4", "validate_every=2", "engine.save_every=1", "engine.keep_last=9", "batch.rendered=2"),
    *("data.photos=null", "data.views.count=4", "batch.several=0.5", "batch.several_people=2"),
)


@pytest.fixture(autouse=True)
def few_people(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendered_views, "SHARD", 4)
    monkeypatch.setattr(rendered_views, "APPEARANCE_COUNT", 1)
    monkeypatch.setattr(data, "VALIDATION_PEOPLE", 4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("views")


def _config(folder: Path, out: Path, *changes: str) -> ReenactmentTrainConfig:
    changes = (*TINY, f"data.views.path={folder}", f"out_dir={out}", *changes)
    return load_record(ReenactmentTrainConfig, RECIPE, changes)


def _train(config: ReenactmentTrainConfig, resume: bool = False) -> TrainResult:
    return train_transformer(config, resume=resume, report=lambda line: None)


def test_a_run_leaves_weights_with_their_origin_and_is_resumed_exactly(folder: Path, tmp_path: Path) -> None:
    whole = _config(folder, tmp_path / "whole")
    result = _train(whole)
    assert result.step == 4 and not result.is_interrupted and result.measures["psnr_db"] > 5
    assert load_networks(weights_path(whole)).scene.layout.size_px == 32
    with safe_open(weights_path(whole), framework="pt") as file:
        about = json.loads(file.metadata()["about"])
    assert {"seed", "commit", "config", "data", "measures"} <= set(about)

    parts = _config(folder, tmp_path / "parts")
    with pytest.MonkeyPatch.context() as patch:
        interrupt_in_step(patch, 1)
        assert _train(parts).is_interrupted
    assert _train(parts, resume=True).step == 4
    both = [load_networks(weights_path(each)).state_dict() for each in (whole, parts)]
    assert all(torch.equal(both[0][name], both[1][name]) for name in both[0])


def test_a_loss_that_is_not_finite_ends_the_run(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task, "losses_of", lambda *_: {"picture": torch.tensor(float("nan"), requires_grad=True)})
    with pytest.raises(Smirk3dError, match="step 0: the loss is not finite"):
        _train(_config(folder, tmp_path / "out"))


def test_the_configuration_refuses_what_cannot_be() -> None:
    for change, text in (("layout.size_px=100", "multiple of 8"), ("lr=0", "lr"), ("layuot.width=8", "layout")):
        with pytest.raises(Smirk3dError, match=text):
            load_record(ReenactmentTrainConfig, RECIPE, [change])
