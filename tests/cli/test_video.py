"""`smirk3d video` from the command line to files that other programs read."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pygltflib
import pytest
import trimesh
from cli_runs import runner
from PIL import Image
from skimage.data import astronaut
from video_files import cut_off, packets, shades, write_video

from smirk3d.cli.main import EXIT_INTERRUPTED, main
from smirk3d.cli.video import Video
from smirk3d.estimation.reconstructor import Reconstructor
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.media import video
from smirk3d.tracking.track_video import TrackOptions
from smirk3d.tracking.whittaker_smoother import SmoothConfig

av = pytest.importorskip("av")
N, SIZE = 12, (320, 240)
TABLES = ("{}.csv", "{}.parquet", "{}.npz", "{}.glb", "{}_livelink.csv", "{}_curves.png")
SMALL = ("--method", "fit", "--no-overlay")


def moving(count: int = N, step: int = 2) -> Iterable[np.ndarray]:
    """Yield the photo of the astronaut's head, which moves to the left."""
    photo = astronaut()
    for k in range(count):
        yield np.ascontiguousarray(photo[10 : 10 + SIZE[1], 60 + step * k : 60 + step * k + SIZE[0]])


@pytest.fixture
def run(capsys: pytest.CaptureFixture):
    return runner("video", capsys)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "Zwölf Köpfe 1.mp4"
    return write_video(path, moving(), codec="libx264", sound="aac")


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("clips") / "short.mkv", moving(4))


@pytest.fixture(scope="module")
def result(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("results") / "new folder"
    assert main(["video", str(clip), "--out", str(out), "--method", "fit"]) == 0
    return out


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def tables(stem: str) -> set[str]:
    return {name.format(stem) for name in TABLES}


def test_all_files_are_there(result: Path) -> None:
    assert files(result) == tables("Zwölf_Köpfe_1") | {"Zwölf_Köpfe_1_overlay.mp4"}


def test_tables_agree(result: Path) -> None:
    table = pandas.read_csv(result / "Zwölf_Köpfe_1.csv")
    assert len(table) == N and (table["confidence"] > 0.3).all()
    np.testing.assert_allclose(table["time_s"], np.arange(N) / 25, atol=1e-3)
    weights = table[list(ARKIT_NAMES)].to_numpy()
    assert ((weights >= 0) & (weights <= 1)).all() and weights[:, ARKIT_NAMES.index("mouthSmileLeft")].mean() > 0.2
    # The photo moves by 2 pixels a frame.
    assert np.polyfit(np.arange(N), table["x0"], 1)[0] == pytest.approx(-2, abs=0.3)
    parquet = pandas.read_parquet(result / "Zwölf_Köpfe_1.parquet")
    np.testing.assert_allclose(parquet[list(ARKIT_NAMES)].to_numpy(), weights, atol=1e-5)
    with np.load(result / "Zwölf_Köpfe_1.npz", allow_pickle=False) as arrays:
        np.testing.assert_allclose(arrays["arkit"], weights, atol=1e-5)
        np.testing.assert_array_equal(arrays["frame"], np.arange(N))
    live_link = pandas.read_csv(result / "Zwölf_Köpfe_1_livelink.csv")
    assert live_link.shape == (N, 2 + 61) and live_link.columns[0] == "Timecode"
    np.testing.assert_allclose(live_link["MouthSmileLeft"], table["mouthSmileLeft"], atol=1e-3)


def test_other_programs_read_animation_and_images(result: Path, clip: Path) -> None:
    gltf = pygltflib.GLTF2().load(str(result / "Zwölf_Köpfe_1.glb"))
    assert gltf is not None and len(gltf.animations) == 1
    assert (gltf.meshes[0].extras or {})["targetNames"] == list(ARKIT_NAMES)
    assert "weights" in {channel.target.path for channel in gltf.animations[0].channels}
    scene = trimesh.load(result / "Zwölf_Köpfe_1.glb")
    assert 0.2 < float(np.ptp(scene.bounds[:, 1])) < 0.5  # metres
    with Image.open(result / "Zwölf_Köpfe_1_curves.png") as image:
        image.load()
        assert image.format == "PNG" and min(image.size) > 200
    overlay = result / "Zwölf_Köpfe_1_overlay.mp4"
    with av.open(str(overlay)) as container:
        frames = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    np.testing.assert_allclose([time_s for time_s, _ in frames], np.arange(N) / 25, atol=1e-3)
    table = pandas.read_csv(result / "Zwölf_Köpfe_1.csv")
    for row, (_, pixels) in enumerate(frames):
        assert pixels.shape == (SIZE[1], 2 * SIZE[0], 3)
        left, right = pixels[:, : SIZE[0]].astype(int), pixels[:, SIZE[0] :].astype(int)
        x0, y0, x1, y1 = table.loc[row, ["x0", "y0", "x1", "y1"]].astype(int)
        change = np.abs(left - right).mean(axis=2)
        assert change[y0:y1, x0:x1].mean() > 10 and change[:, :20].mean() < 3
    assert packets(overlay) == packets(clip)


def test_summary_of_a_run(run, short: Path, tmp_path: Path) -> None:
    finished = run(short, "--out", tmp_path, *SMALL, "--smooth", 0, "--focal", 600)
    assert finished.code == 0 and not finished.err
    assert finished.out == [f"frames: 4; tracks: 1; faces seen: 4; {tmp_path / 'short'}.glb and others beside it"]
    assert files(tmp_path) == tables("short")
    with np.load(tmp_path / "short.npz", allow_pickle=False) as arrays:
        assert float(arrays["focal_px"]) == 600


@pytest.mark.parametrize("flags", [("--no-overlay",), ("--live",)])
def test_usd_beside_the_glb(run, short: Path, flags: tuple[str, ...], tmp_path: Path) -> None:
    usd: Any = pytest.importorskip("pxr.Usd")
    assert run(short, "--out", tmp_path, "--method", "fit", "--usd", *flags).code == 0
    # A live run sees no frame twice, to fit the appearance to.
    skin = set() if "--live" in flags else {"short_skin.png"}
    assert files(tmp_path) == tables("short") | {"short.usdc", "short_eyes.png", "short_teeth.png"} | skin
    stage = usd.Stage.Open(str(tmp_path / "short.usdc"))
    assert (stage.GetStartTimeCode(), stage.GetEndTimeCode(), stage.GetTimeCodesPerSecond()) == (0, 3, 25)


def test_usd_without_its_package_is_refused_before_the_work(
    run, short: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pxr", None)
    finished = run(short, "--out", tmp_path / "out", *SMALL, "--usd")
    assert finished.code == 1 and not finished.out and len(finished.err) == 1 and not (tmp_path / "out").exists()
    assert finished.err[0].startswith("smirk3d: USD needs usd-core") and "pip install 'smirk3d[usd]'" in finished.err[0]


def test_two_faces(run, tmp_path: Path) -> None:
    pair = [np.concatenate([each[:, 60:220], each[:, 60:220]], axis=1) for each in moving(7, step=0)]
    path = write_video(tmp_path / "two.mkv", pair)
    finished = run(path, "--out", tmp_path / "out", *SMALL, "--faces", "all")
    assert finished.code == 0 and finished.out[0].startswith("frames: 7; tracks: 2; faces seen: 14")
    assert files(tmp_path / "out") == tables("two") | {
        name.format("two_1") for name in TABLES if name not in ("{}.csv", "{}.parquet")
    }
    table = pandas.read_csv(tmp_path / "out" / "two.csv")
    left, right = sorted(float(table.loc[table["track"] == k, "x0"].mean()) for k in (0, 1))
    assert right - left == pytest.approx(160, abs=6)


def test_live_on_a_file_and_from_a_webcam(run, short: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(short, "--out", tmp_path / "file", "--method", "fit", "--live").code == 0
    assert files(tmp_path / "file") == tables("short")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(video.WEBCAMS, video.sys.platform, ("matroska", str(short.with_name("short{}.mkv"))))
    short.with_name("short0.mkv").write_bytes(short.read_bytes())
    finished = run("-", "--out", "cam", "--method", "fit", "--live")
    assert finished.code == 0 and files(tmp_path / "cam") == tables("webcam")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--faces", "0"), "--faces 0: must be 1 or more, or all"),
        (("--faces", "-1"), "--faces -1: must be"),
        (("--smooth", "-0.1"), "--smooth -0.1: must be from 0 to 10"),
        (("--smooth", "nan"), "--smooth nan: must be"),
        (("--max-gap", "-1"), "--max-gap -1: must be 0 or more seconds"),
        (("--max-gap", "inf"), "--max-gap inf: must be"),
        (("--fps", "0"), "--fps 0: must be"),
        (("--fps", "30"), "--fps 30: {} has times of its own; leave it out"),
        (("--focal", "0"), "--focal 0"),
        (("--focal", "nan"), "--focal nan: must be"),
        (("--live", "--calibrate", "neutral"), "--calibrate neutral: takes the whole video; leave out --live"),
        (("--detector", "video", "--faces", "2"), "--detector video: follows one person; leave --faces or"),
        (("--detector", "video", "--faces", "all"), "--detector video: follows one person"),
    ],
)
def test_values_out_of_range(run, short: Path, arguments: tuple[str, ...], reason: str, tmp_path: Path) -> None:
    finished = run(short, "--out", tmp_path / "out", *arguments)
    assert finished.code == 2 and not finished.out and len(finished.err) == 1
    assert finished.err[0].startswith(f"smirk3d: {reason.format(short)}") and not (tmp_path / "out").exists()


def test_webcam_needs_live(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("0", "-"):
        finished = run(name, "--out", "out")
        assert (finished.code, finished.err) == (2, [f"smirk3d: {name}: a webcam never ends; add --live"])
    monkeypatch.setitem(video.WEBCAMS, video.sys.platform, ("matroska", str(tmp_path / "none{}")))
    finished = run("5", "--out", "out", "--live")
    assert (
        finished.code == 1
        and len(finished.err) == 1
        and finished.err[0].startswith("smirk3d: webcam 5: cannot be opened")
    )
    assert list(tmp_path.iterdir()) == []


def test_wrong_usage(run, short: Path, tmp_path: Path) -> None:
    assert run(short, "--out", tmp_path / "out", "--faces", "some").code == 2
    assert run("--out", tmp_path / "out").code == 2 and list(tmp_path.iterdir()) == []


def test_input_that_cannot_be_read(run, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "empty").mkdir()
    for name in ("text.mp4", "empty", "none.mp4"):
        finished = run(tmp_path / name, "--out", tmp_path / "out")
        assert finished.code == 1 and not finished.out and len(finished.err) == 1
        assert str(tmp_path / name) in finished.err[0] and not (tmp_path / "out").exists()


def test_no_face_anywhere(run, tmp_path: Path) -> None:
    path = write_video(tmp_path / "grey.mp4", shades(3, (96, 72)))
    for flags in ((), ("--live",)):
        finished = run(path, "--out", tmp_path / "out", "--method", "fit", *flags)
        assert (finished.code, finished.out) == (1, [])
        assert finished.err == [f"smirk3d: {path}: no face found in 3 frames"]
        assert list((tmp_path / "out").glob("*")) == []


@pytest.mark.parametrize("flags", [(), ("--live",)])
def test_truncated_video_gives_what_decodes(run, flags: tuple[str, ...], tmp_path: Path) -> None:
    path = cut_off(write_video(tmp_path / "cut.mp4", moving(12), g="1"), 0.6)
    finished = run(path, "--out", tmp_path / "out", "--method", "fit", *flags)
    assert finished.code == 1 and len(finished.out) == 1  # everything that could be read is written
    assert len(finished.err) == 1 and finished.err[0].startswith(f"smirk3d: {path}: ") and "after" in finished.err[0]
    table = pandas.read_csv(tmp_path / "out" / "cut.csv")
    assert 3 < len(table) < 11 and f"after {len(table)} frames" in finished.err[0]
    if not flags:
        assert files(tmp_path / "out") == tables("cut") | {"cut_overlay.mp4"}
        with av.open(str(tmp_path / "out" / "cut_overlay.mp4")) as container:
            assert sum(1 for _ in container.decode(video=0)) == len(table)


@pytest.mark.parametrize("flags", [(), ("--live",)])
def test_detector_modes(run, flags: tuple[str, ...], tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", moving(6))
    found = {}
    for mode in ("follow", "image", "video"):
        finished = run(path, "--out", tmp_path / mode, *SMALL, "--smooth", 0, "--detector", mode, *flags)
        assert (
            finished.code == 0
            and finished.out[0].startswith("frames: 6; tracks: 1; faces seen: 6")
            and not finished.err
        )
        found[mode] = pandas.read_csv(tmp_path / mode / "a.csv")
    boxes = {mode: table[["x0", "y0", "x1", "y1"]].to_numpy() for mode, table in found.items()}
    for mode in ("follow", "video"):
        assert 0 < np.abs(boxes["image"] - boxes[mode]).max() < 6


def test_current_folder_as_frames(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "Mu\u0308ller 1.2"  # a decomposed umlaut, as in the file systems of Apple
    folder.mkdir()
    for k, pixels in enumerate(moving(3)):
        Image.fromarray(pixels).save(folder / f"f{k + 9}.png")
    monkeypatch.chdir(folder)
    finished = run(".", "--out", tmp_path / "out", *SMALL, "--fps", 12.5)
    assert finished.code == 0 and files(tmp_path / "out") == tables("Müller_1.2")
    table = pandas.read_csv(tmp_path / "out" / "Müller_1.2.csv")
    np.testing.assert_allclose(table["time_s"], [0, 0.08, 0.16], atol=1e-6)


def test_interruption_in_the_second_pass(run, short: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    closed = []
    monkeypatch.setattr("smirk3d.tracking.overlay_video._draw_head", interrupted)
    monkeypatch.setattr(Reconstructor, "close", lambda self: closed.append(self))
    finished = run(short, "--out", tmp_path, "--method", "fit")
    assert (finished.code, finished.err) == (EXIT_INTERRUPTED, ["smirk3d: interrupted"])
    assert files(tmp_path) == tables("short") and len(closed) == 1


def test_flags_become_options() -> None:
    parsed = Video(input="a.mp4", out="out", faces="all", smooth=0.5, max_gap=2, calibrate="range")._track_options()
    assert parsed == TrackOptions(None, SmoothConfig(0.5), max_gap_s=2, calibrate="range")
    assert Video(input="a.mp4", out="out", faces=3)._track_options() == TrackOptions(3, calibrate="rest")
    parsed = Video(input="a.mp4", out="out", detector="video", calibrate="none")._track_options()
    assert parsed == TrackOptions(detector="video") != TrackOptions()
