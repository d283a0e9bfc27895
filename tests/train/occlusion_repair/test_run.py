"""A tiny run of the occlusion network: result, provenance, resumption, losses."""

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
from training_faces import record

from smirk3d.datasets.shards import write_shard
from smirk3d.errors import Smirk3dError
from smirk3d.fer.emotions import EMOTIONS
from smirk3d.fer.occlusion.network import load_occlusion_network
from smirk3d.fer.occlusion.patches import GRID, N_PATCHES
from smirk3d.train.config_file import load_record
from smirk3d.train.occlusion_repair.config import OcclusionTrainConfig
from smirk3d.train.occlusion_repair.losses import description_loss, rebuilding_loss
from smirk3d.train.occlusion_repair.masks import hidden_order
from smirk3d.train.occlusion_repair.run import train_occlusion_network, weights_path
from smirk3d.train.small_network.run import TrainResult

RECIPE = Path(__file__).parents[3] / "configs" / "recipes" / "fer_occlusion.yaml"
TINY = (
    *("steps=3", "batch_size=4", "occluded=3", "semantic_faces=2", "semantic_from=0.5", "validate_every=3"),
    "engine.save_every=1",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Six small faces of each split with votes, and three photos."""
    folder = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(0)
    rows = [",".join(["key", "split", *EMOTIONS, "unknown", "not_a_face"])]
    for split in ("train", "val"):
        with tarfile.open(folder / f"{split}.tar", "w") as archive:
            for k in range(6):
                rows.append(f"{split}{k},{split},10,0,0,0,0,0,0,0,0,0")
                Image.fromarray(random.integers(0, 256, (48, 48), dtype=np.uint8)).save(file := io.BytesIO(), "PNG")
                info = tarfile.TarInfo(f"{split}{k}.png")
                info.size = file.tell()
                archive.addfile(info, io.BytesIO(file.getvalue()))
    (folder / "labels.csv").write_text("\n".join(rows))
    photos = folder / "photos"
    photos.mkdir()
    for split in ("train", "val"):
        write_shard(photos / f"{split}-000000.tar", [record(f"{split}{k}") for k in range(3)])
    return folder, photos


def _config(data: tuple[Path, Path], out: Path, *changes: str) -> OcclusionTrainConfig:
    where = (f"data.ferplus={data[0]}", f"data.photos={data[1]}", f"out_dir={out}")
    return load_record(OcclusionTrainConfig, RECIPE, [*TINY, *where, *changes])


def _train(config: OcclusionTrainConfig, resume: bool = False) -> TrainResult:
    return train_occlusion_network(config, resume=resume, report=lambda line: None)


def test_a_resumed_run_repeats_an_uninterrupted_one(
    data: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, cut = (_config(data, tmp_path / name) for name in ("whole", "cut"))
    result = _train(whole)
    assert result.step == 3 and {"psnr_db", "auroc_learned_kinds", "radius"} == set(result.measures)
    with monkeypatch.context() as patch:
        interrupt_in_step(patch, 1)
        assert _train(cut).step == 2
    _train(cut, resume=True)
    networks = [load_occlusion_network(weights_path(each)) for each in (whole, cut)]
    one, other = (each.state_dict() for each in networks)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert float(networks[0].radius) == pytest.approx(result.measures["radius"], rel=1e-2)
    with safe_open(weights_path(whole), "pt") as file:
        about = json.loads(file.metadata()["about"])
    assert {"seed", "commit", "config", "data", "measures", "step"} <= set(about)
    assert str(tmp_path) not in json.dumps(about) and str(data[0].parent) not in json.dumps(about)


def test_faults_are_errors(data: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(Smirk3dError, match="hidden_share must be two rising numbers"):
        _config(data, tmp_path, "hidden_share=[0.9, 0.5]")
    with pytest.raises(Smirk3dError, match="kind must be one of occlusion"):
        _config(data, tmp_path, "kind=other")
    with pytest.raises(Smirk3dError, match="no train-"):
        _train(_config((data[0], tmp_path), tmp_path / "run"))


def test_hidden_patches_lie_together_or_scattered() -> None:
    def neighbours(block_share: float) -> float:
        order = hidden_order(40, block_share, torch.Generator().manual_seed(0))
        assert torch.equal(order.sort(1).values, torch.arange(N_PATCHES).expand(40, -1))
        grid = torch.zeros(40, N_PATCHES).scatter(1, order[:, :48], 1.0).view(40, GRID, GRID)
        return float((grid[:, :, 1:] * grid[:, :, :-1]).sum() / grid.sum())

    assert neighbours(1.0) > 0.7 > 0.5 > neighbours(0.0)


def test_the_losses_reward_what_is_wanted() -> None:
    shares = torch.zeros(1, N_PATCHES)
    shares[:, :40], shares[:, 40:60] = 1.0, 0.1
    right, wrong = torch.where(shares > 0.5, 6.0, 0.05), torch.where(shares > 0.5, 0.05, 6.0)
    assert description_loss(right, shares) < 0.1 < 5 < description_loss(wrong, shares)
    unsure = right.clone()
    unsure[:, 40:60] = 3.0  # patches on an edge teach nothing
    assert torch.equal(description_loss(right, shares), description_loss(unsure, shares))
    true, area = torch.rand(1, 1, 96, 96), torch.zeros(1, 1, 96, 96)
    area[..., :48] = 1
    worse_where_hidden = rebuilding_loss(true + area, true, area, 0.1)
    assert float(worse_where_hidden) == pytest.approx(1)
    assert float(rebuilding_loss(true + 1 - area, true, area, 0.1)) == pytest.approx(0.1)
