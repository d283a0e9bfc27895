"""`smirk3d fer`: tables, exit codes, lines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut

from smirk3d.cli.main import main
from smirk3d.export.tables.expressions_csv import read_table
from smirk3d.export.tables.features import FeatureRow, write_features
from smirk3d.fer.emotions_csv import EMOTION_COLUMNS
from smirk3d.fer.network import ExpressionNetwork
from smirk3d.networks.half_file import save_half
from smirk3d.train.expression_vector import run as training
from smirk3d.train.small_network.run import TrainResult

RECIPE = str(Path(__file__).parents[2] / "configs" / "recipes" / "fer_vector.yaml")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "network.safetensors"
    save_half(ExpressionNetwork().eval(), path, {})
    return str(path)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(astronaut()[:300, 60:360]).save(folder / "a.png")
    (folder / "bad.png").write_bytes(b"no image")
    return folder


def test_predict_writes_a_table_and_a_sheet_and_resumes(
    photos: Path, weights: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "out"
    command = ["fer", "predict", str(photos), "--out", str(out), "--weights", weights]
    assert main(command) == 1
    captured = capsys.readouterr()
    assert "images: 1 done, 1 failed; faces: 1" in captured.out and "calibrated" in captured.out
    assert captured.err.count("bad.png") == 1
    rows = read_table(out / "emotions.csv", EMOTION_COLUMNS)
    assert [row["status"][:6] for row in rows] == ["ok", "failed"]
    assert Image.open(out / "sheet.png").width > 200
    before = (out / "emotions.csv").read_bytes()
    assert main([*command, "--resume"]) == 1
    assert "0 done, 1 failed, 1 done before" in capsys.readouterr().out
    assert (out / "emotions.csv").read_bytes() == before


def test_features_of_photos_and_of_crops(
    photos: Path, weights: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "f.npz"
    assert main(["fer", "features", str(photos), "--out", str(out), "--weights", weights]) == 1
    with np.load(out) as file:
        assert file["features"].shape == (1, 256) and file["keys"].tolist() == [str(photos / "a.png")]
        vector = file["features"][0]
    assert main(["fer", "features", str(photos / "a.png"), "--crops", "--out", str(out), "--weights", weights]) == 0
    with np.load(out) as file:
        assert not np.allclose(file["features"][0], vector)
    assert capsys.readouterr().out.count("faces: 1") == 2


def test_probe_prints_its_measures(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    generator = np.random.default_rng(0)
    rows = [FeatureRow(f"{k}.jpg", tuple("uvwxyz"), generator.normal(size=6) + 4 * (k % 2)) for k in range(60)]
    write_features(rows, tmp_path / "f.npz")
    labels = "\n".join(f"{k}.jpg,{('sad', 'glad')[k % 2]},p{k // 3}" for k in range(60))
    (tmp_path / "labels.csv").write_text(f"key,label,person\n{labels}\n")
    command = ["fer", "probe", str(tmp_path / "f.npz"), str(tmp_path / "labels.csv")]
    assert main([*command, "--groups", "person"]) == 0
    captured = capsys.readouterr()
    assert "faces: 60; groups: 20" in captured.out and "macro F1: 1.000" in captured.out and not captured.err
    assert main([*command, "--groups", "person", "--plot", str(tmp_path / "c.png")]) == 0
    assert Image.open(tmp_path / "c.png").size == (1280, 1000)
    assert main([*command, "--split", "person"]) == 1
    assert "needs faces of the split train" in capsys.readouterr().err
    assert main([*command, "--folds", "1"]) == 2
    assert main([*command, "--plot", "c.txt"]) == 2
    assert main([*command, "--label", "mood"]) == 1
    assert "lacks the column mood" in capsys.readouterr().err


def test_train_reports_how_a_run_ended(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    weights = Path("o/expression.safetensors")
    results = iter([TrainResult(7, 7, weights, {"war": 80.0}), TrainResult(3, 7, weights)])
    monkeypatch.setattr(training, "train_expression_network", lambda config, resume, report: next(results))
    command = ["fer", "train", RECIPE, "data.ferplus=x", "out_dir=o", "steps=7"]
    assert main(command) == 0
    assert "done: step 7 of 7; war 80; weights: o/expression.safetensors" in capsys.readouterr().out
    assert main([*command, "--resume"]) == 130
    assert "stopped at step 3 of 7; go on with --resume" in capsys.readouterr().out


def test_evaluate_needs_something_to_measure(tmp_path: Path, weights: str, capsys: pytest.CaptureFixture) -> None:
    assert main(["fer", "evaluate"]) == 2
    for name in ("happiness", "sadness"):
        (tmp_path / name).mkdir()
        Image.fromarray(astronaut()[:200, 150:350]).save(tmp_path / name / "a.png")
    assert main(["fer", "evaluate", weights, "--ferplus", str(tmp_path)]) == 0
    out = capsys.readouterr().out  # the same picture with two labels: one of them is right, or none is
    assert "2 face crops, split val: WAR" in out and "UAR" in out and "ECE" in out


def test_wrong_usage(capsys: pytest.CaptureFixture) -> None:
    assert main(["fer", "features", "x.jpg", "--out", "f.txt"]) == 2
    assert main(["fer", "predict", "--out", "o"]) == 2
    assert main(["fer", "predict", "x.jpg", "--out", "o", "--max-faces", "0"]) == 2
    assert "Traceback" not in capsys.readouterr().err
