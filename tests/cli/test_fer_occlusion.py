"""`smirk3d fer` with the occlusion network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut

from smirk3d.cli.main import main
from smirk3d.export.tables.expressions_csv import read_table
from smirk3d.fer.emotions import EMOTIONS
from smirk3d.fer.emotions_csv import EMOTION_COLUMNS
from smirk3d.fer.occlusion.network import OcclusionNetwork
from smirk3d.fer.occlusion.repair_run import OCCLUSION_COLUMNS
from smirk3d.networks.half_file import save_half
from smirk3d.train.occlusion_repair import run as training
from smirk3d.train.small_network.run import TrainResult

RECIPE = str(Path(__file__).parents[2] / "configs" / "recipes" / "fer_occlusion.yaml")


def test_the_recipe_selects_what_is_trained(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    weights = Path("o/occlusion.safetensors")
    results = iter([TrainResult(7, 7, weights, {"psnr_db": 20.0}), TrainResult(3, 7, weights)])
    monkeypatch.setattr(training, "train_occlusion_network", lambda config, resume, report: next(results))
    command = ["fer", "train", RECIPE, "data.ferplus=x", "data.photos=y", "out_dir=o", "steps=7"]
    assert main(command) == 0
    assert "done: step 7 of 7; psnr_db 20; weights: o/occlusion.safetensors" in capsys.readouterr().out
    assert main([*command, "--resume"]) == 130
    assert "stopped at step 3 of 7; go on with --resume" in capsys.readouterr().out
    assert main([*command, "occludet=3"]) == 1
    assert "occludet is no key; the nearest one is occluded" in capsys.readouterr().err


def test_repair_writes_a_table_faces_and_sheets(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_half(OcclusionNetwork(), tmp_path / "network.safetensors", {})
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    Image.fromarray(astronaut()[:300, 60:360]).save(photos / "a.png")
    Image.fromarray(np.full((80, 80, 3), 90, dtype=np.uint8)).save(photos / "empty.png")
    (photos / "bad.png").write_bytes(b"no image")
    command = ["fer", "repair", str(photos), "--out", str(out), "--weights", str(tmp_path / "network.safetensors")]
    assert main([*command, "--show"]) == 1
    captured = capsys.readouterr()
    assert "images: 1 done, 2 failed; faces: 1" in captured.out and "no evidence" in captured.out
    assert captured.err.count("bad.png") == 1 and "no face found" in captured.err
    rows = read_table(out / "occlusion.csv", OCCLUSION_COLUMNS)
    assert [row["status"][:6] for row in rows] == ["ok", "failed", "failed"]
    assert 0 <= float(rows[0]["occluded"]) <= 1
    assert Image.open(out / "a_0_repaired.png").size == (96, 96)
    assert Image.open(out / "repair_001.png").width > 3 * 190
    assert main(["fer", "repair", "x.jpg", "--out", "o", "--max-faces", "0"]) == 2


def test_predict_tells_how_much_was_rebuilt(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    photo = astronaut()[:300, 60:360].copy()
    Image.fromarray(photo).save(tmp_path / "a.png")
    command = ["fer", "predict", str(tmp_path / "a.png"), "--out"]
    assert main([*command, str(tmp_path / "plain")]) == 0
    assert main([*command, str(tmp_path / "repaired"), "--repair"]) == 0
    plain, repaired = (
        read_table(tmp_path / name / "emotions.csv", EMOTION_COLUMNS)[0] for name in ("plain", "repaired")
    )
    assert plain["occluded"] == "" and 0 <= float(repaired["occluded"]) < 0.3
    assert sum(float(repaired[name]) for name in EMOTIONS) == pytest.approx(1, abs=1e-3)
    assert all(plain[name] == repaired[name] for name in ("yaw", "AU12", "visible_mouth"))
