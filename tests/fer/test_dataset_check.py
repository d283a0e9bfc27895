"""`smirk3d fer check`: counts, unreadable pictures, and what splits share."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from smirk3d.cli.main import main
from smirk3d.evaluation.recognition import duplicated_keys


def _save(path: Path, seed: int, size: int = 48) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 9), dtype=np.uint8)
    Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC).save(path)


def test_folders_with_splits(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for k in range(3):
        _save(tmp_path / "train" / "happiness" / f"{k}.png", k)
    _save(tmp_path / "train" / "sad" / "3.png", 3)
    _save(tmp_path / "test" / "angry" / "copy.png", 1, size=60)
    (tmp_path / "test" / "angry" / "bad.png").write_bytes(b"x")
    assert main(["fer", "check", str(tmp_path), "--problems", str(tmp_path / "p.csv")]) == 1
    out = capsys.readouterr().out
    assert "split train: 4 faces (happiness 3, sadness 1)" in out and "split test: 1 faces (anger 1)" in out
    assert "unreadable pictures: 1; the first in test: angry/bad.png" in out
    assert "near-duplicates across splits: 1; the first in train and test: happiness/1.png and angry/copy.png" in out
    assert "states no persons" in out
    rows = list(csv.DictReader((tmp_path / "p.csv").open()))
    assert [row["kind"] for row in rows] == ["unreadable", "near-duplicate"]
    assert duplicated_keys(tmp_path / "p.csv", "test") == {"angry/copy.png"}
    assert duplicated_keys(tmp_path / "p.csv", "train") == {"happiness/1.png"}
    command = ["fer", "evaluate", "--ferplus", str(tmp_path), "--leave-out", str(tmp_path / "p.csv")]
    assert main([*command, "--split", "train"]) == 0 and "3 face crops, split train" in capsys.readouterr().out


def test_a_table_with_persons(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    rows = ["path,label,split,person"]
    for k, (split, person) in enumerate([("train", "ann"), ("train", "bob"), ("val", "bob"), ("val", "")]):
        _save(tmp_path / f"{k}.png", k)
        rows.append(f"{k}.png,fear,{split},{person}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    assert main(["fer", "check", str(tmp_path / "labels.csv")]) == 1
    out = capsys.readouterr().out
    assert "split train: 2 faces (fear 2); 2 persons" in out
    assert "persons in two splits: 1; the first in train and val: bob" in out and "states no persons" not in out


def test_a_set_without_problems(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    _save(tmp_path / "neutral" / "a.png", 0)
    assert main(["fer", "check", str(tmp_path)]) == 0
    assert "split all: 1 faces (neutral 1)" in capsys.readouterr().out
    assert main(["fer", "check", str(tmp_path / "missing")]) == 1
