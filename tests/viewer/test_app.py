"""The viewer's server: controls, meshes and the page, without a browser; one slow test draws it in Chromium."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from synthetic_track import synthetic_track

from smirk3d.errors import Smirk3dError, UsageError
from smirk3d.export.gltf.animation import save_animation
from smirk3d.export.gltf.head import save_gltf
from smirk3d.face import Face
from smirk3d.head.model import HeadModel
from smirk3d.viewer.app import Viewer, free_port, open_viewer
from smirk3d.viewer.discovery import read_scene

pytest.importorskip("viser")
SCRIPT = Path(__file__).resolve().parents[1] / "conformance" / "view_screenshot.mjs"
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")


@pytest.fixture(scope="module")
def clip_path(open_head: HeadModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("view") / "clip.glb"
    save_animation(synthetic_track(open_head, 30, first_frame=0), path)
    return path


@pytest.fixture(scope="module")
def running(clip_path: Path) -> Iterator[Viewer]:
    viewer = open_viewer(read_scene(clip_path), port=0)
    yield viewer
    viewer.close()


@pytest.fixture
def viewer(running: Viewer) -> Viewer:
    running.pause()
    running.panel.rotate.value, running.panel.both_sides.value = True, False
    running.seek(0)
    return running


def _drawn(viewer: Viewer) -> np.ndarray:
    """Return the vertices (V, 3) that viser draws."""
    points = np.full_like(viewer.scene.points, np.nan)
    for mesh, patch in zip(viewer.meshes, viewer.scene.patches, strict=True):
        points[patch.rows] = mesh.vertices
    return points


def _is_drawn(viewer: Viewer, wanted: np.ndarray) -> bool:
    drawn = _drawn(viewer)
    known = np.isfinite(drawn[:, 0])
    return bool(np.allclose(drawn[known], wanted[known], atol=1e-7)) and bool(known.mean() > 0.95)


def test_the_page_is_served(viewer: Viewer) -> None:
    with urllib.request.urlopen(viewer.url, timeout=10) as answer:
        assert answer.status == 200 and b"<html" in answer.read(2000).lower()
    assert viewer.url.startswith(f"http://127.0.0.1:{viewer.port}/")


def test_a_slider_changes_the_mesh(viewer: Viewer) -> None:
    before, index = _drawn(viewer), viewer.scene.names.index("jawOpen")
    viewer.panel.sliders["jawOpen"].value = 0.8
    weights = viewer.scene.curves.weights[0].copy()
    weights[index] = 0.8
    assert np.allclose(viewer.weights, weights) and _is_drawn(viewer, viewer.scene.vertices(weights))
    assert np.nanmax(np.abs(_drawn(viewer) - before)) > 0.01
    viewer.panel.reset.value = True
    assert np.allclose(_drawn(viewer), before, atol=1e-7, equal_nan=True)
    assert viewer.panel.sliders["jawOpen"].value == 0


def test_an_image_that_moves_follows_the_sliders(clip_path: Path) -> None:
    scene = replace(read_scene(clip_path), moved_image=lambda weights: np.full((4, 6, 3), 200 * weights[0], np.uint8))
    with contextlib.closing(open_viewer(scene, port=0)) as viewer:
        weights = np.zeros(len(scene.names))
        for value in (0.0, 0.5, 1.0):
            weights[0] = value
            viewer.set_weights(weights)
            assert (viewer.panel.image.image == int(200 * value)).all()


def test_both_sides_change_together(viewer: Viewer) -> None:
    sliders = viewer.panel.sliders
    sliders["mouthSmileLeft"].value = 0.5
    assert sliders["mouthSmileRight"].value == 0
    viewer.panel.both_sides.value = True
    sliders["browDownRight"].value = 0.7
    assert sliders["browDownLeft"].value == 0.7
    shown = dict(zip(viewer.scene.names, viewer.weights))
    assert shown["browDownLeft"] == shown["browDownRight"] == pytest.approx(0.7)
    assert shown["mouthSmileRight"] == 0


def test_neutral_button_clears_the_weights(viewer: Viewer) -> None:
    viewer.seek(1.0)
    assert viewer.weights.any()
    viewer.panel.neutral.value = True
    assert not viewer.weights.any() and _is_drawn(viewer, viewer.scene.points)


def test_seeking_shows_the_frame(viewer: Viewer) -> None:
    viewer.panel.sliders["jawOpen"].value = 0.8
    viewer.seek(0.6)
    curves, panel = viewer.scene.curves, viewer.panel
    assert _is_drawn(viewer, viewer.scene.vertices(curves.weights[15])) and panel.timeline.value == 16
    assert panel.sliders["eyeBlinkLeft"].value == 1 and panel.sliders["jawOpen"].value == 0
    assert "frame 16 of 30" in panel.readout.content and "0.60 s" in panel.readout.content
    panel.timeline.value = 30
    assert viewer.time_s == pytest.approx(curves.time_s[29])
    assert panel.sliders["mouthSmileLeft"].value == 1


def test_rotation_can_be_switched_off(viewer: Viewer) -> None:
    assert not np.allclose(viewer._head.wxyz, (1, 0, 0, 0), atol=0.05)
    assert np.allclose(viewer._head.position, 0)
    viewer.panel.rotate.value = False
    assert np.allclose(viewer._head.wxyz, (1, 0, 0, 0))
    viewer.panel.translate.value = True
    viewer.seek(1.16)
    assert np.allclose(viewer._head.position, (0.1, 0, 0), atol=1e-5)
    viewer.panel.translate.value = False
    viewer.panel.wireframe.value = True
    assert all(mesh.wireframe for mesh in viewer.meshes)
    viewer.panel.wireframe.value = False


def test_playback_follows_the_clock(viewer: Viewer) -> None:
    sent = {"sliders": 0}
    viewer.panel.sliders["mouthSmileLeft"].on_update(lambda _: sent.update(sliders=sent["sliders"] + 1))
    viewer.play()
    started_s = time.monotonic()
    time.sleep(0.8)
    played_s, passed_s = viewer.time_s, time.monotonic() - started_s
    assert viewer.is_playing and abs(played_s - passed_s) < 0.1
    assert sent["sliders"] <= 5 * passed_s + 2
    drawn = _drawn(viewer)
    assert any(_is_drawn(viewer, viewer.scene.vertices(w)) for w in viewer.scene.curves.weights) or drawn.any()
    viewer.panel.sliders["jawOpen"].value = 0.4  # a hand on a slider stops the clip
    assert not viewer.is_playing and viewer.weights[viewer.scene.names.index("jawOpen")] == pytest.approx(0.4)
    assert viewer.panel.play.label == "Play"


def test_without_a_loop_it_stops_at_the_end(viewer: Viewer) -> None:
    viewer.panel.loop.value = False
    viewer.seek(1.0)
    viewer.panel.play.value = True
    deadline = time.monotonic() + 5
    while (viewer.panel.play.label, viewer.panel.timeline.value) != ("Play", 30) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert viewer.panel.timeline.value == 30 and not viewer.is_playing
    viewer.panel.loop.value = True


def test_another_result_can_be_chosen(
    clip_path: Path, make_face: Callable[..., Face], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    save_gltf(make_face({"jawOpen": 0.5}), tmp_path / "b_0.glb")
    Image.new("RGB", (640, 200), (90, 60, 50)).save(tmp_path / "b_overlay.png")
    viewer = open_viewer(read_scene(clip_path), port=0)
    try:
        assert not viewer.panel.results and not viewer.panel.image
        viewer.offer([clip_path, tmp_path / "b_0.glb"], read_scene)
        assert viewer.panel.results.options == ("clip.glb", "b_0.glb")
        viewer.panel.results.value = "b_0.glb"
        assert viewer.scene.name == "b_0.glb" and viewer.panel.timeline is None
        assert viewer.panel.sliders["jawOpen"].value == 0.5 and viewer.panel.results.value == "b_0.glb"
        assert viewer.panel.image.image.shape == (200, 640, 3)
        viewer.play()
        assert not viewer.is_playing
    finally:
        viewer.close()
    assert capsys.readouterr().out == ""  # viser's own announcements are kept off


def test_a_taken_port_is_avoided(viewer: Viewer) -> None:
    assert free_port("127.0.0.1", viewer.port) > viewer.port
    with pytest.raises(UsageError, match="65535"):
        free_port("127.0.0.1", 70000)
    for host in ("nowhere.invalid", "203.0.113.7"):
        with pytest.raises(UsageError, match=f"--host {host}"):
            free_port(host, 8080)


def test_a_broken_image_is_refused(clip_path: Path, tmp_path: Path) -> None:
    shutil.copy(clip_path, tmp_path / "a.glb")
    (tmp_path / "a_overlay.png").write_bytes(b"nonsense")
    with pytest.raises(Smirk3dError, match=r"a_overlay\.png"):
        open_viewer(read_scene(tmp_path / "a.glb"), port=0)


@pytest.mark.slow
def test_the_page_in_chromium(running: Viewer, tmp_path: Path) -> None:
    if shutil.which("node") is None or not Path(CHROMIUM).exists():
        pytest.skip("needs node and chromium")
    found = subprocess.run(["node", "-e", "require('playwright-core')"], capture_output=True, check=False)
    if found.returncode:
        pytest.skip("needs playwright-core: set NODE_PATH")
    words = ["node", str(SCRIPT), running.url, str(tmp_path / "page.png"), "click:Neutral"]
    result = subprocess.run(words, capture_output=True, text=True, check=False, timeout=400)
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout.splitlines()[-1])
    assert not report["errors"] and report["spread"] > 8
    assert Image.open(tmp_path / "page.png").size == (1400, 900)
    assert not running.weights.any()  # the click reached the server
