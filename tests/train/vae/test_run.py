"""A tiny run of the face autoencoder: results, provenance, resumption, faults."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from interrupted_training import interrupt_in_step
from PIL import Image
from safetensors import safe_open

from smirk3d.datasets.shards import Record, write_shard
from smirk3d.errors import Smirk3dError
from smirk3d.fer.vae.weights import load_face_vae
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.train.config_file import load_record
from smirk3d.train.small_network.run import TrainResult
from smirk3d.train.vae.config import VaeTrainConfig
from smirk3d.train.vae.data import photo_windows
from smirk3d.train.vae.run import train_vae, weights_path

RECIPE = Path(__file__).parents[3] / "configs" / "recipes" / "fer_vae.yaml"
TINY = ("steps=4", "batch_size=4", "renders=0", "validate_every=2", "engine.save_every=1", "bfloat16=false")


def _record(number: int, rng: np.random.Generator) -> Record:
    pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8).repeat(12, axis=0).repeat(12, axis=1)
    Image.fromarray(pixels).save(file := io.BytesIO(), "JPEG")
    points = rng.uniform(20, 76, (478, 2)).astype(np.float32)
    scores = rng.random(len(ARKIT_NAMES), dtype=np.float32)
    return Record(f"face{number}", file.getvalue(), points, (96, 96), scores, person=f"p{number // 2}")


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve faces of six people for training and four for validation."""
    folder, rng = tmp_path_factory.mktemp("faces"), np.random.default_rng(0)
    write_shard(folder / "train-000000.tar", [_record(k, rng) for k in range(12)])
    write_shard(folder / "val-000000.tar", [_record(k, rng) for k in range(4)])
    return folder


def _config(faces: Path, out: Path, *changes: str) -> VaeTrainConfig:
    return load_record(VaeTrainConfig, RECIPE, [*TINY, f"data.faces={faces}", f"out_dir={out}", *changes])


def _train(config: VaeTrainConfig, resume: bool = False) -> TrainResult:
    return train_vae(config, resume=resume, report=lambda line: None)


def test_a_run_leaves_weights_with_attributes_and_their_origin(faces: Path, tmp_path: Path) -> None:
    config = _config(faces, tmp_path / "run")
    result = _train(config)
    assert result.step == 4 and {"psnr_db", "rate_nats", "active"} <= set(result.measures)
    network = load_face_vae(weights_path(config))
    assert network.directions.abs().sum(1).gt(0).all() and network.latent_mean.abs().sum() > 0
    with safe_open(weights_path(config), "pt") as file:
        about = json.loads(file.metadata()["about"])
    assert {"seed", "commit", "config", "data", "measures", "step"} <= set(about)
    assert str(tmp_path) not in json.dumps(about) and str(faces.parent) not in json.dumps(about)


def test_a_resumed_run_repeats_an_uninterrupted_one(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, cut = (_config(faces, tmp_path / name, "loss=pixel") for name in ("whole", "cut"))
    _train(whole)
    with monkeypatch.context() as patch:
        interrupt_in_step(patch, 1)
        assert _train(cut).step == 2
    _train(cut, resume=True)
    one, other = (load_face_vae(weights_path(each)).state_dict() for each in (whole, cut))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_faces_of_one_person_are_limited(faces: Path, tmp_path: Path) -> None:
    assert len(photo_windows(_config(faces, tmp_path, "data.max_per_person=1").data, "train")) == 6


def test_faults_are_errors(faces: Path, tmp_path: Path) -> None:
    with pytest.raises(Smirk3dError, match=r"no train-\*\.tar there"):
        _train(_config(tmp_path, tmp_path / "run"))
    with pytest.raises(Smirk3dError, match=r"vgg19\.pth: No such file"):
        _train(_config(faces, tmp_path / "run2", f"objective.vgg19={tmp_path / 'vgg19.pth'}"))
