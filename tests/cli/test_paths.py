"""Outputs replace no input, and places that do not exist are known before any work."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from smirk3d.cli.main import main

PHOTO = b"the only copy of a photo"


@pytest.fixture
def photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    path = tmp_path / "a.png"
    path.write_bytes(PHOTO)
    os.link(path, tmp_path / "same.png")
    (tmp_path / "link.png").symlink_to(path)
    return path


@pytest.mark.parametrize("out", ["a.png", "sub/../a.png", "same.png", "link.png"])
@pytest.mark.parametrize(
    "command",
    [
        "reenact --source a.png --expression smile",
        "reenact --source b.png a.png --expression smile",
        "reenact --source b.png --driving a.png",
        "fer vae edit a.png smile=1",
        "fer vae interpolate b.png a.png",
        "fer vae reconstruct a.png",
        "head convert a.png",
    ],
)
def test_an_input_is_no_output(command: str, out: str, photo: Path, capsys: pytest.CaptureFixture) -> None:
    assert main([*command.split(), "--out", out]) == 2
    assert capsys.readouterr().err == f"smirk3d: --out {out}: is an input itself; choose another name\n"
    assert photo.read_bytes() == PHOTO


@pytest.mark.parametrize("flag", ["--data", "--photos", "--character"])
def test_places_of_evaluations_are_known_before_they_run(flag: str, capsys: pytest.CaptureFixture) -> None:
    assert main(["evaluate", "packaged", flag, "nowhere"]) == 2
    assert capsys.readouterr().err == f"smirk3d: {flag} nowhere: no such file or folder; check the path\n"


@pytest.mark.parametrize("focal", ["1e300", "0.001", "-3", "nan"])
@pytest.mark.parametrize("command", ["reconstruct a.png", "features a.png"])
def test_a_focal_length_is_that_of_a_lens(command: str, focal: str, capsys: pytest.CaptureFixture) -> None:
    out = "o.npz" if command.startswith("features") else "o"
    assert main([*command.split(), "--out", out, "--focal", focal]) == 2
    assert "must be from 1 to 1000000 pixels" in capsys.readouterr().err
    assert not Path(out).exists()


def test_a_video_is_no_url(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["video", "https://example.com/clip.mp4", "--out", str(tmp_path)]) == 1
    assert "example.com/clip.mp4: is a URL; download it first, and name the file" in capsys.readouterr().err
