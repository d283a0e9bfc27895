"""The programs in `examples/` run."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image
from skimage.data import astronaut

EXAMPLES = Path(__file__).parents[1] / "examples"


def load(name: str) -> ModuleType:
    """Import an example by its file's name."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photos" / "astronaut.png"
    path.parent.mkdir()
    Image.fromarray(astronaut()).save(path)
    return path


def test_examples_are_short_and_all_of_them_are_tested() -> None:
    files = sorted(EXAMPLES.glob("*.py"))
    assert [path.stem[:2] for path in files] == ["01", "02", "03", "04", "05", "06"]
    assert all(len(path.read_text(encoding="utf-8").splitlines()) < 40 for path in files)
    tested = Path(__file__).read_text(encoding="utf-8")
    assert all(f'load("{path.stem}")' in tested for path in files)


def test_photo(photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    load("01_photo").main(str(photo), str(tmp_path / "out"))
    assert (tmp_path / "out" / "face_0.glb").stat().st_size > 100_000
    assert "mouthSmileLeft" in capsys.readouterr().out


def test_video(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    for number in range(6):
        Image.fromarray(astronaut()[:300, 60 + number : 400 + number]).save(frames / f"{number:03}.png")
    load("02_video").main(str(frames), str(tmp_path / "out"))
    assert (tmp_path / "out" / "track_0.glb").exists()
    assert "1 track(s)" in capsys.readouterr().out


def test_character(capsys: pytest.CaptureFixture) -> None:
    load("03_character").main()
    printed = capsys.readouterr().out
    assert "sent 0.70, recovered 0.70" in printed
    assert "residual 0.000 mm" in printed


def test_features(photo: Path, capsys: pytest.CaptureFixture) -> None:
    Image.open(photo).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(photo.parent / "mirror.png")
    load("04_features").main(str(photo.parent))
    assert "astronaut.png: nearest expression in mirror.png" in capsys.readouterr().out


def test_train_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(EXAMPLES.parent)
    monkeypatch.setenv("SMIRK3D_CACHE", str(tmp_path / "cache"))
    assert load("05_train_small").main(str(tmp_path / "run"), "1", "4") == 0
    assert (tmp_path / "run" / "networks.safetensors").exists()
    assert "million parameters" in capsys.readouterr().out


def test_own_classes(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    face = Image.fromarray(astronaut()[:300, 60:360])
    for label, height in (("long", 330), ("short", 230)):
        (tmp_path / label).mkdir()
        for person, width in enumerate((200, 270)):
            face.resize((width, height)).save(tmp_path / label / f"p{person}_{width}.png")
    load("06_own_classes").main(str(tmp_path), str(tmp_path / "out"))
    printed = capsys.readouterr().out
    assert "photos of 2 people, long, short" in printed and "balanced accuracy" in printed
    assert "p0_200.png: long" in printed and (tmp_path / "out" / "confusion.png").exists()
