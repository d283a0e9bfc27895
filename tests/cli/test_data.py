"""`smirk3d data`: flags, words and exit codes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut
from training_faces import record

from smirk3d.cli.main import main
from smirk3d.datasets.prepare_report import read_report
from smirk3d.datasets.shards import write_shard


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "in" / "Eileen"
    folder.mkdir(parents=True)
    Image.fromarray(astronaut()).save(folder / "a.jpg")
    Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save(folder / "grey.png")
    return tmp_path / "in"


def test_prepare_then_check(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "out"
    words = ["data", "prepare", str(photos), "--out", str(out), "--person", "folder", "--val-share", "0"]
    assert main(words) == 0
    text = capsys.readouterr().out.strip()
    assert text == (
        f"photos: 2 done; kept: 1 train, 0 val, in 1 shards; dropped: 1 no face found; report: {out / 'report.csv'}"
    )
    (kept,) = [row for row in read_report(out / "report.csv") if row.status == "kept"]
    assert kept.person == "Eileen"
    assert main(words) == 2  # the folder is taken
    assert main([*words, "--resume"]) == 0
    assert "0 done, 2 done before" in capsys.readouterr().out
    assert main(["data", "check", str(out)]) == 0
    assert capsys.readouterr().out == "train: faces 1, known persons 1, of unknown person 0\n"
    shard = out / "train-000000.tar"
    shard.write_bytes(shard.read_bytes()[:2000])
    assert main(["data", "check", str(out)]) == 1
    assert "train-000000.tar: damaged after" in capsys.readouterr().err


def test_contours_are_counted_and_bad_ones_are_told(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    words = ["data", "prepare", str(photos), "--out", str(tmp_path / "out"), "--contour", str(tmp_path / "fan")]
    assert main(words) == 2 and "fan: no such folder" in capsys.readouterr().err
    (tmp_path / "fan").mkdir()
    assert main(words) == 0
    assert "; contours: 1 without a file; report:" in capsys.readouterr().out
    (tmp_path / "fan" / "Eileen").mkdir()
    np.save(tmp_path / "fan" / "Eileen" / "a.npy", np.zeros(3))
    words[4] = str(tmp_path / "again")
    assert main(words) == 0
    captured = capsys.readouterr()
    assert "; contours: 1 with an unusable file; report:" in captured.out
    assert "a.npy: no contour (shape (3,) of float64); give a .npy of (68, 2) or (N, 68, 2) pixels" in captured.err


def test_an_unreadable_photo_is_named_and_exit_code_1(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (photos / "broken.jpg").write_bytes(b"no")
    words = ["data", "prepare", str(photos), "--out", str(tmp_path / "out"), "--min-face", "400"]
    assert main(words) == 1
    kinds = sorted(row.kind for row in read_report(tmp_path / "out" / "report.csv"))
    assert kinds == ["no face found", "too small", "unreadable"]
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "cannot read" in line]
    assert line.startswith(f"smirk3d: cannot read {photos / 'broken.jpg'}: not an image in a known format")


def test_of_many_unreadable_photos_the_first_are_named(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for k in range(13):
        (tmp_path / f"{k}.jpg").write_bytes(b"no")
    assert main(["data", "prepare", str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert sum("cannot read" in line for line in lines) == 10
    assert sum("more failures; all of them are in" in line for line in lines) == 1


def test_faces_without_depth_are_left_out_of_the_targets(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    faces = [record(f"a{k}", seed=k) for k in range(3)]
    known = [replace(face, depth_px=np.zeros(478, np.float32)) for face in faces[:2]]
    write_shard(tmp_path / "train-000000.tar", [*known, faces[2]])
    words = ["data", "targets", str(tmp_path), "--out", str(tmp_path / "targets.npz")]
    assert main(words) == 1
    captured = capsys.readouterr()
    assert captured.out.startswith("faces: 2;") and "a2: its landmarks have no depth" in captured.err
    write_shard(tmp_path / "train-000000.tar", faces)
    assert main(words) == 1
    assert f"{tmp_path}: no usable faces: " in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["data", "prepare"],
        ["data", "prepare", "empty", "--out", "o"],
        ["data", "prepare", "a.jpg", "--out", "o", "--shard-size", "0"],
        ["data", "prepare", "a.jpg", "--out", "o", "--val-share", "2"],
        ["data", "prepare", "a.jpg", "--out", "o", "--min-face", "0"],
        ["data", "prepare", "a.jpg", "--out", "o", "--faces", "some"],
    ],
)
def test_wrong_usage(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert main(words) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_check_of_a_folder_without_shards(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["data", "check", str(tmp_path)]) == 1
    assert "make them with smirk3d data prepare" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["data"], ["data", "prepare"], ["data", "check"]])
def test_help(words: list[str], capsys: pytest.CaptureFixture) -> None:
    assert main([*words, "--help"]) == 0
    text = capsys.readouterr().out
    assert "usage: smirk3d" in text
    if words[-1] == "prepare":
        flags = ("--out", "--resume", "--shard-size", "--min-face", "--min-sharpness", "--person", "--val-share")
        assert all(flag in text for flag in flags)
