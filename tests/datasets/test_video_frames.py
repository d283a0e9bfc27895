"""Videos: the right frames, upright, and what a damaged file still gives."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from training_faces import detection, face_points

from smirk3d.datasets.prepare_report import read_report
from smirk3d.datasets.prepared_faces import PrepareOptions
from smirk3d.datasets.shards import Record, read_shard
from smirk3d.datasets.video_frames import prepare_videos, read_frames, video_files
from smirk3d.detection.detector import Detection
from smirk3d.errors import Smirk3dError

av = pytest.importorskip("av")
WIDTH, HEIGHT = 192, 160
OPTIONS = PrepareOptions(val_share=0.0)
QUARTER_TURN = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
"""Display matrix of a video that is shown turned clockwise by 90°, as phones write it."""


class Finder:
    """Finds a face in the middle; counts."""

    def __init__(self) -> None:
        self.calls = 0

    def detect(self, pixels: np.ndarray) -> list[Detection]:
        self.calls += 1
        return [detection(face_points((pixels.shape[1] / 2, pixels.shape[0] / 2), 80))]


def _video(path: Path, count: int = 25, rate: int = 10) -> Path:
    """Write a video whose frame k has grain, a red left half and green brightness 8 k on the right."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = WIDTH, HEIGHT, "yuv420p", 4_000_000
        for k in range(count):
            pixels = np.random.default_rng(k).integers(0, 40, (HEIGHT, WIDTH, 3), dtype=np.uint8)
            pixels[:, : WIDTH // 2, 0] += 200
            pixels[:, WIDTH // 2 :, 1] = min(8 * k, 255)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


def _turned(path: Path) -> Path:
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 44
    content[place : place + 36] = QUARTER_TURN
    path.write_bytes(content)
    return path


def _records(folder: Path) -> list[Record]:
    return [record for path in sorted(folder.glob("*.tar")) for record in read_shard(path)]


def test_two_frames_a_second_at_most(tmp_path: Path) -> None:
    frames = list(read_frames(_video(tmp_path / "a.mp4")))
    assert [frame.number for frame in frames] == [0, 5, 10, 15, 20]
    for frame in frames:
        assert frame.pixels.shape == (HEIGHT, WIDTH, 3) and frame.pixels.dtype == np.uint8
        assert frame.pixels[:, : WIDTH // 2 - 8, 0].mean() > 180
        assert abs(frame.pixels[:, WIDTH // 2 + 8 :, 1].mean() - 8 * frame.number) < 12
    assert [frame.number for frame in read_frames(tmp_path / "a.mp4", 3.0)] == [0, 4, 8, 12, 16, 20, 24]
    assert len(list(read_frames(tmp_path / "a.mp4", 100.0))) == 25


def test_turned_videos_are_turned_upright(tmp_path: Path) -> None:
    frame = next(read_frames(_turned(_video(tmp_path / "a.mp4", 3))))
    assert frame.pixels.shape == (WIDTH, HEIGHT, 3)
    # Clockwise by 90°: what was on the left is on top.
    top, bottom = frame.pixels[: WIDTH // 2 - 8, :, 0].mean(), frame.pixels[WIDTH // 2 + 8 :, :, 0].mean()
    assert top > 180 > 60 > bottom


@pytest.mark.parametrize("share", [0.3, 0.7])
def test_a_truncated_video_gives_what_decodes(share: float, tmp_path: Path) -> None:
    path = _video(tmp_path / "a.mkv", 40)  # an .mp4 has its index at the end: cut off, it gives nothing
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    summary = prepare_videos([path], tmp_path / "out", Finder(), OPTIONS)
    kept = len(_records(tmp_path / "out"))
    assert share * 8 - 2 <= kept <= share * 8 + 2 and summary.kept["train"] == kept
    cut = _video(tmp_path / "b.mp4")
    cut.write_bytes(cut.read_bytes()[:5000])
    assert prepare_videos([cut], tmp_path / "other", Finder(), OPTIONS).kept.total() == 0
    (row,) = read_report(tmp_path / "other" / "report.csv")
    assert row.image == str(cut) and row.kind == "damaged video" and "cannot be opened as a video" in row.status


def test_frames_that_are_missing_are_told(tmp_path: Path) -> None:
    path = _video(tmp_path / "a.mp4")
    content = bytearray(path.read_bytes())
    data = content.index(b"mdat")
    content[data + 20_000 : data + 60_000] = bytes(40_000)
    path.write_bytes(content)
    numbers = []
    with pytest.raises(Smirk3dError, match=r"a\.mp4: damaged after \d+ frames, .*; copy it again"):
        numbers.extend(frame.number for frame in read_frames(path))


def test_a_video_is_one_person_and_is_read_once(tmp_path: Path) -> None:
    videos = [_video(tmp_path / name) for name in ("a.mp4", "b.mp4")]
    finder = Finder()
    summary = prepare_videos(videos[:1], tmp_path / "out", finder, OPTIONS)
    assert (summary.kept["train"], summary.skipped, finder.calls) == (5, 0, 5)
    summary = prepare_videos(videos, tmp_path / "out", finder, OPTIONS)
    assert (summary.kept["train"], summary.skipped, finder.calls) == (5, 1, 10)
    records = _records(tmp_path / "out")
    assert [record.person for record in records] == [str(videos[0])] * 5 + [str(videos[1])] * 5
    assert len({record.key for record in records}) == 10 and records[1].source == f"{videos[0]}#5"
    assert records[0].depth_px is not None
    ends = [row for row in read_report(tmp_path / "out" / "report.csv") if not row.key]
    assert [row.status for row in ends] == ["end of video (5 frames looked at)"] * 2


def test_an_interrupted_run_looks_at_no_frame_twice(tmp_path: Path) -> None:
    class Stopping(Finder):
        def detect(self, pixels: np.ndarray) -> list[Detection]:
            if self.calls == 3:
                raise KeyboardInterrupt
            return super().detect(pixels)

    path = _video(tmp_path / "a.mp4")
    with pytest.raises(KeyboardInterrupt):
        prepare_videos([path], tmp_path / "out", Stopping(), OPTIONS)
    finder = Finder()
    prepare_videos([path], tmp_path / "out", finder, OPTIONS)
    assert finder.calls == 2 and len(_records(tmp_path / "out")) == 5


def test_files_that_are_no_videos_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"text")
    with pytest.raises(Smirk3dError, match=r"a\.mp4: cannot be opened as a video .*copy it again"):
        list(read_frames(tmp_path / "a.mp4"))
    with pytest.raises(Smirk3dError, match=r"none\.mp4: .*No such file"):
        list(read_frames(tmp_path / "none.mp4"))


def test_videos_of_a_folder(tmp_path: Path) -> None:
    for name in ("b/x.MOV", "a.mp4", ".hidden.mp4", "a.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert video_files(tmp_path) == [tmp_path / "a.mp4", tmp_path / "b" / "x.MOV"]
    assert video_files(tmp_path / "a.mp4") == [tmp_path / "a.mp4"]
    with pytest.raises(Smirk3dError, match="no videos there"):
        video_files(tmp_path / "a.txt")
