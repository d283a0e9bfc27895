"""A tiny run of the expression network: results, provenance, resumption."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from interrupted_training import interrupt_in_step
from PIL import Image
from safetensors import safe_open

from smirk3d.errors import Smirk3dError, UsageError
from smirk3d.fer.emotions import EMOTIONS
from smirk3d.fer.network import load_expression_network
from smirk3d.train.config_file import load_record
from smirk3d.train.expression_vector import run as training
from smirk3d.train.expression_vector.config import FerTrainConfig
from smirk3d.train.expression_vector.run import train_expression_network, weights_path
from smirk3d.train.metrics import read_metrics
from smirk3d.train.small_network.run import TrainResult

RECIPE = Path(__file__).parents[3] / "configs" / "recipes" / "fer_vector.yaml"
TINY = (
    *("steps=4", "batch_size=4", "renders=0", "validate_every=2", "engine.save_every=1"),
    *("backbone_init=random", "teacher_steps=0", "data.unlabelled=null"),
)


@pytest.fixture(scope="module")
def ferplus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen faces: of the second emotion bright below, of the first one above."""
    folder = tmp_path_factory.mktemp("ferplus")
    rows = [",".join(["key", "split", *EMOTIONS, "unknown", "not_a_face"])]
    for split in ("train", "val"):
        with tarfile.open(folder / f"{split}.tar", "w") as archive:
            for k in range(8):
                rows.append(f"{split}{k},{split},{10 * (k % 2)},{10 - 10 * (k % 2)},0,0,0,0,0,0,0,0")
                pixels = np.full((48, 48), 60 + k, dtype=np.uint8)
                pixels[24 * (k % 2) : 24 * (k % 2) + 24] = 200
                Image.fromarray(pixels).save(file := io.BytesIO(), "PNG")
                info = tarfile.TarInfo(f"{split}{k}.png")
                info.size = file.tell()
                archive.addfile(info, io.BytesIO(file.getvalue()))
    (folder / "labels.csv").write_text("\n".join(rows))
    return folder


def _config(ferplus: Path, out: Path, *changes: str) -> FerTrainConfig:
    return load_record(FerTrainConfig, RECIPE, [*TINY, f"data.ferplus={ferplus}", f"out_dir={out}", *changes])


def _train(config: FerTrainConfig, resume: bool = False) -> TrainResult:
    return train_expression_network(config, resume=resume, report=lambda line: None)


def test_a_run_leaves_calibrated_weights_with_their_origin(ferplus: Path, tmp_path: Path) -> None:
    config = _config(ferplus, tmp_path / "run")
    result = _train(config)
    assert result.step == 4 and {"war", "uar", "ece", "temperature"} <= set(result.measures)
    network = load_expression_network(weights_path(config))
    assert float(network.temperature) == pytest.approx(result.measures["temperature"], rel=1e-2)
    with safe_open(weights_path(config), "pt") as file:
        about = json.loads(file.metadata()["about"])
    assert {"seed", "commit", "config", "data", "measures", "step"} <= set(about)
    assert str(tmp_path) not in json.dumps(about) and str(ferplus.parent) not in json.dumps(about)
    assert set(read_metrics(config.out_dir)["val/war"]) == {1, 3}


def test_a_resumed_run_repeats_an_uninterrupted_one(
    ferplus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, cut = (_config(ferplus, tmp_path / name) for name in ("whole", "cut"))
    _train(whole)
    with monkeypatch.context() as patch:
        interrupt_in_step(patch, 1)
        assert _train(cut).step == 2
    _train(cut, resume=True)
    one, other = (load_expression_network(weights_path(each)).state_dict() for each in (whole, cut))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_teacher_is_trained_first_and_only_once(ferplus: Path, tmp_path: Path) -> None:
    options = ("teacher_steps=2", "triplet_weight=0.5", "fine_share=0.5", "input_px=32", "fine_px=48")
    config = _config(ferplus, tmp_path / "run", *options)
    _train(config)
    teacher = tmp_path / "run" / training.TEACHER_FOLDER / training.WEIGHTS_NAME
    written = teacher.stat().st_mtime_ns
    plain = _config(ferplus, tmp_path / "plain", "steps=2", "input_px=32", "fine_share=0", "triplet_weight=0")
    _train(plain)
    one, other = (load_expression_network(each).state_dict() for each in (teacher, weights_path(plain)))
    assert all(torch.equal(one[name], other[name]) for name in one)
    _train(config, resume=True)
    assert teacher.stat().st_mtime_ns == written
    best = json.loads(safe_open(weights_path(config), "pt").metadata()["about"])["step"]
    assert int(load_expression_network(weights_path(config)).input_px) == (48 if best == "4" else 32)
    with pytest.raises(Smirk3dError, match=r"data\.unlabelled"):
        _config(ferplus, tmp_path / "other", "data.unlabelled=photos")


def test_a_run_may_start_from_the_weights_of_another(ferplus: Path, tmp_path: Path) -> None:
    first = _config(ferplus, tmp_path / "first")
    _train(first)
    second = _config(ferplus, tmp_path / "second", f"init={weights_path(first)}", "lr=1e-9", "ema=0", "steps=2")
    _train(second)
    one, other = (dict(load_expression_network(weights_path(each)).named_parameters()) for each in (first, second))
    assert all(torch.allclose(one[name], other[name], atol=1e-2) for name in one)


def test_faults_are_errors(ferplus: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    with pytest.raises(UsageError, match="is not empty"):
        _train(_config(ferplus, tmp_path / "full"))
    with pytest.raises(Smirk3dError, match="no folder and no"):
        _train(_config(tmp_path / "missing", tmp_path / "run"))
    with pytest.raises(Smirk3dError, match=r"batch_sise is no key; the nearest one is batch_size"):
        _config(ferplus, tmp_path / "run", "batch_sise=3")
    with pytest.raises(Smirk3dError, match="ema must be in"):
        _config(ferplus, tmp_path / "run", "ema=2")
