"""A run over a video: its files, their order, and the messages."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from synthetic_track import synthetic_track
from video_files import shades, write_video

from smirk3d.errors import Smirk3dError
from smirk3d.head.model import HeadModel
from smirk3d.media.video import VideoFile
from smirk3d.progress import LineProgress
from smirk3d.track import Clip, Track
from smirk3d.tracking import run
from smirk3d.tracking.run import VideoOptions, run_video, write_clip

pytest.importorskip("av")
TABLES = {"a.csv", "a.parquet", "a.npz", "a.glb", "a_livelink.csv", "a_curves.png"}


@pytest.fixture(scope="module")
def track(open_head: HeadModel) -> Track:
    return synthetic_track(open_head, 5, first_frame=0)


@pytest.fixture
def source(tmp_path: Path) -> VideoFile:
    return VideoFile(write_video(tmp_path / "a.mp4", shades(5)))


@pytest.fixture
def start(source: VideoFile, track: Track, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run with a fake tracking pass that returns a known track; returns (files, text)."""

    def begin(
        options: VideoOptions | None = None, notes: tuple[str, ...] = (), total: int | None = 5
    ) -> tuple[Any, str]:
        def fake_track_video(
            video: VideoFile, reconstructor: object, options: object, *, advance: Callable[[], None]
        ) -> Clip:
            for _ in video.frames():
                advance()
            return Clip(video.info.name, 25.0, (640, 480), total or 5, (track,), notes[1:], notes[:1])

        monkeypatch.setattr(run, "track_video", fake_track_video)
        monkeypatch.setattr("smirk3d.progress.LINE_EVERY_IMAGES", 2)
        source.info = replace(source.info, n_frames=total)
        out, stream = tmp_path / "out", io.StringIO()
        out.mkdir(exist_ok=True)
        no_reconstructor: Any = None
        try:
            begin.clip = run_video(  # type: ignore[attr-defined]
                source,
                out,
                "a",
                no_reconstructor,
                options or VideoOptions(),
                open_progress=lambda count: LineProgress(count, stream, "frames"),
            )
        finally:
            begin.files = {path.name for path in out.iterdir()}  # type: ignore[attr-defined]
            begin.text = stream.getvalue()  # type: ignore[attr-defined]
        return begin.files, begin.text  # type: ignore[attr-defined]

    return begin


def test_all_files_are_written(start: Callable[..., Any]) -> None:
    files, text = start()
    assert files == TABLES | {"a_overlay.mp4"}
    lines = text.splitlines()
    assert len(lines) == 4 and all(" frames, " in line and line.endswith(" s left") for line in lines)
    assert [line.split(" ")[0] for line in lines] == ["2/5", "4/5", "2/5", "4/5"]


def test_overlay_can_be_left_out(start: Callable[..., Any]) -> None:
    assert start(VideoOptions(overlay=False))[0] == TABLES


def test_losses_and_notes_are_shown(start: Callable[..., Any]) -> None:
    text = start(VideoOptions(overlay=False), notes=("a.mp4: ends early\n", "2 faces left out"))[1]
    assert text.splitlines()[2:] == ["smirk3d: a.mp4: ends early\\n", "smirk3d: 2 faces left out"]


def test_losses_of_both_passes(start: Callable[..., Any]) -> None:
    text = start(notes=("a.mp4: ends early", "2 faces left out"), total=7)[1]
    changed = next(line for line in text.splitlines() if "overlay has" in line)
    assert changed.endswith("has changed since it was read first; the overlay has 5 of 7 frames")
    clip = start.clip  # type: ignore[attr-defined]
    assert clip.notes == ("2 faces left out",)
    assert clip.losses == ("a.mp4: ends early", changed.removeprefix("smirk3d: "))


def test_video_of_unknown_length(start: Callable[..., Any]) -> None:
    text = start(VideoOptions(overlay=False), total=None)[1]
    assert [line.split(",")[0] for line in text.splitlines()] == ["2 frames", "4 frames"]
    assert "left" not in text and "/" not in text


@pytest.mark.parametrize("stop", [KeyboardInterrupt, Smirk3dError])
def test_stop_in_the_second_pass_keeps_the_other_files(
    stop: type[BaseException], start: Callable[..., Any], track: Track, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drawn(*_: object) -> None:
        raise stop

    monkeypatch.setattr("smirk3d.tracking.overlay_video._draw_head", drawn)
    with pytest.raises(stop):
        start()
    assert start.files == TABLES  # type: ignore[attr-defined]


def test_several_tracks(track: Track, tmp_path: Path) -> None:
    tracks = (track, replace(track, number=1, frame=track.frame + 2))
    written = write_clip(Clip("a.mp4", 25.0, (640, 480), 7, tracks), tmp_path, "a")
    others = {name.replace("a", "a_1", 1) for name in TABLES - {"a.csv", "a.parquet"}}
    assert {path.name for path in written} == {path.name for path in tmp_path.iterdir()} == TABLES | others
    table = pandas.read_csv(tmp_path / "a.csv")
    assert len(table) == 10 and len(pandas.read_parquet(tmp_path / "a.parquet")) == 10
    with np.load(tmp_path / "a_1.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["frame"], np.arange(2, 7))


def test_no_parquet_without_pyarrow(track: Track, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_has_pyarrow", lambda: False)
    write_clip(Clip("a.mp4", 25.0, (640, 480), 5, (track,)), tmp_path, "a")
    assert {path.name for path in tmp_path.iterdir()} == TABLES - {"a.parquet"}


def test_a_file_that_cannot_be_written_costs_no_other(track: Track, tmp_path: Path) -> None:
    for name in ("a.csv", "a.glb"):
        (tmp_path / name).mkdir()
    with pytest.raises(Smirk3dError, match=r"a\.csv.*\(2 of 6 files are missing\)"):
        write_clip(Clip("a.mp4", 25.0, (640, 480), 5, (track,)), tmp_path, "a")
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == TABLES - {"a.csv", "a.glb"}
