"""`smirk3d reenact` from the command line to pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cli_runs import runner
from PIL import Image
from skimage.data import astronaut
from video_files import write_video

from smirk3d.cli.reenact import Reenact
from smirk3d.estimation.reconstructor import Reconstructor
from smirk3d.export.tables.expression_file import write_arkit
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.media.video import VideoFile

pytest.importorskip("av")


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
        (("--driving", "clip.mp4"), "must end in .mp4"),
        (("--driving", "b.jpg", "--relative"), "no neutral frame"),
        (("--expression", "smile", "--relative", "--absolute"), "name one of them"),
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


def test_a_table_moves_the_photo(run, photo: Path, tmp_path: Path) -> None:
    weights = np.zeros((4, 52), np.float32)
    weights[:, ARKIT_NAMES.index("jawOpen")] = [0, 0.3, 0.9, 0]
    write_arkit(tmp_path / "w.csv", list("0123"), {"arkit": weights})
    out = tmp_path / "o.mp4"
    done = run("--source", photo, "--driving", tmp_path / "w.csv", "--out", out, "--compare", "--size", 200)
    assert done.code == 0 and done.out == [f"frames: 4; {out}"]
    frames = [frame.pixels.astype(int) for frame in VideoFile(out).frames()]
    assert [frame.shape for frame in frames] == [(200, 400, 3)] * 4
    changed = [np.abs(frame[:, 200:] - frames[0][:, 200:]).mean() for frame in frames]
    assert changed[2] > changed[1] > changed[3]


def test_a_video_moves_the_photo_and_keeps_its_sound(run, photo: Path, tmp_path: Path) -> None:
    driving = write_video(tmp_path / "d.mp4", [astronaut()[:300, 60:360]] * 6, codec="libx264", sound="aac")
    done = run("--source", photo, "--driving", driving, "--out", tmp_path / "o.mp4", "--size", 200, "--compare")
    assert done.code == 0
    video = VideoFile(tmp_path / "o.mp4")
    assert video.info.has_audio
    frames = [frame.pixels for frame in video.frames()]
    assert len(frames) == 6
    still = np.abs(frames[0][:, 200:].astype(int) - frames[-1][:, 200:]).mean()
    assert still < 1  # nothing moves in the driving


def test_a_photo_moves_the_photo(run, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.png"
    done = run("--source", photo, "--driving", photo, "--out", out)
    assert done.code == 0
    assert np.abs(pixels(out).astype(int) - astronaut()).mean() < 0.1  # its own expression leaves it


def test_tables_of_several_frames_need_a_video(run, photo: Path, tmp_path: Path) -> None:
    write_arkit(tmp_path / "w.csv", ["0", "1"], {"arkit": np.zeros((2, 52), np.float32)})
    done = run("--source", photo, "--driving", tmp_path / "w.csv", "--out", tmp_path / "o.png")
    assert done.code == 2 and "has 2 frames; name an .mp4" in done.err[0]


@pytest.mark.parametrize("name", ["nowhere.mp4", "nowhere.csv", "nowhere.jpg"])
def test_driving_that_cannot_be_read_is_named(run, photo: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / ("o.png" if name.endswith("jpg") else "o.mp4")
    done = run("--source", photo, "--driving", tmp_path / name, "--out", out)
    assert done.code == 1 and len(done.err) == 1 and name in done.err[0] and not out.exists()
