"""`smirk3d reenact` from the command line to pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cli_runs import runner
from PIL import Image
from skimage.data import astronaut

from smirk3d.cli.reenact import Reenact
from smirk3d.estimation.reconstructor import Reconstructor


@pytest.fixture
def run(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Reenact, "_reconstructor", lambda _: Reconstructor(method="fit"))
    return runner("reenact", capsys)


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "Jürgen 1.png"
    Image.fromarray(astronaut()).save(path)
    return path


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def test_an_expression_beside_the_photo(run, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.png"
    done = run("--source", photo, "--expression", "smile=.8,eyeBlinkLeft=1", "--out", out, "--compare")
    assert done.code == 0 and done.out == [f"size: 1024 x 512; {out}"]
    assert np.array_equal(pixels(out)[:, :512], astronaut())
    assert not np.array_equal(pixels(out)[:, 512:], astronaut())


def test_actions_that_are_not_named_stay_unless_absolute(run, photo: Path, tmp_path: Path) -> None:
    for name, flags in (("kept", ()), ("absolute", ("--absolute",))):
        assert run("--source", photo, "--expression", "jawOpen=0", "--out", tmp_path / f"{name}.png", *flags).code == 0
    kept, absolute = (
        np.abs(pixels(tmp_path / f"{name}.png").astype(int) - astronaut()).mean() for name in ("kept", "absolute")
    )
    assert kept < absolute  # the astronaut smiles


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--expression", "smle=1"), "did you mean smile"),
        ((), "name what to show"),
        (("--sheet", "--expression", "smile"), "name what to show"),
        (("--sheet", "--compare"), "--sheet"),
        (("--expression", "smile", "--size", "3"), "--size 3"),
        (("--expression", "smile", "--out", "a.txt"), "must end in"),
    ],
)
def test_wrong_usage_is_one_line(run, photo: Path, tmp_path: Path, flags: tuple[str, ...], message: str) -> None:
    done = run("--source", photo, "--out", tmp_path / "o.png", *flags)
    assert done.code == 2 and len(done.err) == 1 and message in done.err[0]
    assert not list(tmp_path.iterdir())


def test_photos_without_a_face_are_named(run, tmp_path: Path) -> None:
    Image.new("RGB", (200, 200)).save(tmp_path / "empty.png")
    done = run("--source", tmp_path / "empty.png", "--expression", "smile", "--out", tmp_path / "o.png")
    assert done.code == 1 and len(done.err) == 1 and "empty.png: no face found" in done.err[0]
    assert not (tmp_path / "o.png").exists()
