"""The command for one branch is a run of one regression stage."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from smirk3d.authoring.load import load_head
from smirk3d.networks.checkpoint import save_networks
from smirk3d.networks.encoder import Encoder
from smirk3d.train.config import TrainConfig
from smirk3d.train.loop import TrainResult
from smirk3d.train.recipes import branch_regression
from smirk3d.train.recipes.branch_data import CONFIG, SIZE_PX, BranchOptions
from smirk3d.train.recipes.branch_regression import main, run_config
from smirk3d.train.run_folder import WEIGHTS_NAME
from smirk3d.train.stages import RegressionStage

OPTIONS = BranchOptions("expression", Path("p"), Path("t.npz"), Path("out"))


def test_options_are_those_of_a_stage() -> None:
    config = run_config(replace(OPTIONS, steps=7, pairs=3, consistency_weight=1.0, photo_share=0.4))
    stage = config.stage
    assert isinstance(stage, RegressionStage)
    assert (stage.branch, stage.steps, stage.pairs, stage.consistency_weight) == ("expression", 7, 3, 1.0)
    assert (stage.start, config.init, stage.repainted_weight, config.validation.every) == ("imagenet", None, 0.0, 0)
    assert [source.kind for source in config.data.sources] == ["rendered", "rendered", "shards"]
    assert config.data.sources[-1].weight == pytest.approx(0.4) and config.data.size == SIZE_PX
    assert run_config(replace(OPTIONS, validation_count=64)).validation.every == OPTIONS.steps
    continued = run_config(replace(OPTIONS, init=Path("expression.pt")))
    assert isinstance(continued.stage, RegressionStage) and continued.stage.start == "present"


def test_the_branch_of_the_run_is_written_and_one_can_be_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = Encoder(load_head().spec, CONFIG, SIZE_PX)
    asked: list[tuple[TrainConfig, bool]] = []

    def stand_in(config: TrainConfig, *, resume: bool, report: Any) -> TrainResult:
        asked.append((config, resume))
        config.out_dir.mkdir()
        save_networks(config.out_dir / WEIGHTS_NAME, encoder=encoder, meta={})
        return TrainResult(1, False, 0)

    monkeypatch.setattr(branch_regression, "train", stand_in)
    options = replace(OPTIONS, branch="shape", out=tmp_path / "new", threads=torch.get_num_threads())
    main(options)
    written = torch.load(options.out / "shape.pt", weights_only=True)
    assert all(torch.equal(tensor, written[name]) for name, tensor in encoder.shape_encoder.state_dict().items())
    main(replace(options, out=tmp_path / "again", init=options.out / "shape.pt"))
    initial = asked[1][0].init
    assert initial is not None and not asked[1][1]
    found = Encoder.from_checkpoint(initial).shape_encoder.state_dict()
    assert all(torch.equal(tensor, written[name]) for name, tensor in found.items())
