"""`smirk3d fer` with the occlusion network."""

from __future__ import annotations

from pathlib import Path

import pytest

from smirk3d.cli.main import main
from smirk3d.train.occlusion_repair import run as training
from smirk3d.train.occlusion_repair.run import OcclusionResult

RECIPE = str(Path(__file__).parents[2] / "configs" / "recipes" / "fer_occlusion.yaml")


def test_the_recipe_selects_what_is_trained(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    results = iter([OcclusionResult(7, False, {"psnr_db": 20.0}), OcclusionResult(3, True)])
    monkeypatch.setattr(training, "train_occlusion_network", lambda config, resume, report: next(results))
    command = ["fer", "train", RECIPE, "data.ferplus=x", "data.photos=y", "out_dir=o", "steps=7"]
    assert main(command) == 0
    assert "done: step 7 of 7; psnr_db 20; weights: o/occlusion.safetensors" in capsys.readouterr().out
    assert main([*command, "--resume"]) == 130
    assert "stopped at step 3 of 7; go on with --resume" in capsys.readouterr().out
    assert main([*command, "occludet=3"]) == 1
    assert "occludet is no key; the nearest one is occluded" in capsys.readouterr().err
