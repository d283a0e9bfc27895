"""`smirk3d view`: addresses, errors and the end by Ctrl-C, with a fake viewer."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from smirk3d.cli.main import main
from smirk3d.export.gltf.head import save_gltf
from smirk3d.face import Face


class _Viewer:
    def __init__(self, scene: Any, host: str, port: int):
        self.scene, self.host, self.port = scene, host, port
        self.offered: list[Path] = []
        self.is_closed = False

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def offer(self, results: list[Path], read: Any) -> None:
        self.offered = list(results)

    def wait(self) -> None:
        """Return at once, as after Ctrl-C."""

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[_Viewer]:
    viewers: list[_Viewer] = []

    def open_viewer(scene: Any, host: str, port: int) -> _Viewer:
        viewers.append(_Viewer(scene, host, port))
        viewers[-1].port += port == 9001  # taken
        return viewers[-1]

    monkeypatch.setattr("smirk3d.viewer.app.open_viewer", open_viewer)
    return viewers


@pytest.fixture
def browser_addresses(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    addresses: list[str] = []
    monkeypatch.setattr("webbrowser.open", addresses.append)
    return addresses


@pytest.fixture
def results(make_face: Callable[..., Face], tmp_path: Path) -> Path:
    for name in ("a_0", "b_0"):
        save_gltf(make_face(), tmp_path / f"{name}.glb")
    return tmp_path


def test_file_is_shown_in_the_browser(
    results: Path, opened: list[_Viewer], browser_addresses: list[str], capsys: pytest.CaptureFixture
) -> None:
    assert main(["view", str(results / "a_0.glb")]) == 0
    (viewer,) = opened
    assert viewer.scene.name == "a_0.glb" and viewer.is_closed and not viewer.offered
    assert browser_addresses == ["http://127.0.0.1:8080"]
    output = capsys.readouterr()
    assert output.out.startswith("http://127.0.0.1:8080 ") and not output.err


def test_folder_is_shown_on_the_next_free_port(
    results: Path, opened: list[_Viewer], browser_addresses: list[str], capsys: pytest.CaptureFixture
) -> None:
    assert main(["view", str(results), "--port", "9001", "--host", "localhost", "--no-browser"]) == 0
    (viewer,) = opened
    assert {path.name for path in viewer.offered} == {"a_0.glb", "b_0.glb"} and not browser_addresses
    output = capsys.readouterr()
    assert output.err == "smirk3d: port 9001 is taken; using 9002\n" and "http://localhost:9002" in output.out


@pytest.mark.parametrize("name", ["none.glb", "text.txt", "empty", "broken.glb", "broken.npz"])
def test_input_that_cannot_be_shown(
    name: str, tmp_path: Path, opened: list[_Viewer], capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "empty").mkdir()
    for each in ("text.txt", "broken.glb", "broken.npz"):
        (tmp_path / each).write_text("nothing")
    assert main(["view", str(tmp_path / name)]) == 1
    assert not opened
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("smirk3d: ") and name in line and ";" in line


def test_missing_viser_is_reported(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "viser", None)
    assert main(["view", str(results / "a_0.glb"), "--no-browser"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "pip install 'smirk3d[view]'" in line


def test_wrong_usage(results: Path) -> None:
    pytest.importorskip("viser")
    assert main(["view"]) == 2
    assert main(["view", str(results / "a_0.glb"), "--port", "70000"]) == 2
