"""The overlay video: frames, times and audio, read back by other programs."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from synthetic_track import synthetic_track
from video_files import FPS, burst_s, packets, shades, write_video

from smirk3d.errors import Smirk3dError
from smirk3d.head.model import HeadModel
from smirk3d.media.audio import AudioWriter
from smirk3d.media.video import Frame, FrameFolder, FrameSource, VideoFile, VideoInfo
from smirk3d.track import Clip, Track
from smirk3d.tracking.overlay_video import side_by_side, write_overlay
from smirk3d.viz.overlay import OPACITY

av = pytest.importorskip("av")
SIZE, N, FIRST = (640, 480), 6, 1
UNEVEN_MS = [0, 40, 80, 200, 210, 300, 1000]


@pytest.fixture(scope="module")
def track(open_head: HeadModel) -> Track:
    """Frames 1 to 6 of seven; lost in frames 3 and 4."""
    return synthetic_track(open_head, N, lost=slice(2, 4), first_frame=FIRST)


def clip_of(n_frames: int, *tracks: Track, size: tuple[int, int] = SIZE) -> Clip:
    return Clip("clip", float(FPS), size, n_frames, tracks)


def overlay_of(source: FrameSource, clip: Clip, folder: Path) -> tuple[Path, list[str], int]:
    """Return the overlay, the notes on it, and how many frames were counted."""
    path, notes, counted = folder / "overlay.mp4", [], []
    write_overlay(clip, source, path, advance=lambda: counted.append(1), note=notes.append)
    assert [each.name for each in folder.glob(".*")] == []
    return path, notes, len(counted)


def read(path: Path) -> tuple[list[float], list[np.ndarray]]:
    with av.open(str(path)) as container:
        frames = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    return [time_s for time_s, _ in frames], [pixels for _, pixels in frames]


def halves(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    middle = pixels.shape[1] // 2
    return pixels[:, :middle].astype(int), pixels[:, middle:].astype(int)


@pytest.fixture(scope="module")
def written(track: Track, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An uneven video with sound, and its overlay."""
    folder = tmp_path_factory.mktemp("overlay")
    path = write_video(folder / "größe 1.mp4", shades(7, SIZE), UNEVEN_MS, sound="aac", sound_s=1.3)
    out = tmp_path_factory.mktemp("out")
    overlay, notes, counted = overlay_of(VideoFile(path), clip_of(7, track), out)
    assert not notes and counted == 7
    return path, overlay


def test_times_and_audio_are_those_of_the_source(written: tuple[Path, Path]) -> None:
    source, overlay = written
    times_s, pictures = read(overlay)
    np.testing.assert_allclose(times_s, np.array(UNEVEN_MS) / 1000, atol=1e-4)
    assert all(pixels.shape == (SIZE[1], 2 * SIZE[0], 3) for pixels in pictures)
    assert packets(overlay) == packets(source)
    assert burst_s(overlay) == pytest.approx(burst_s(source), abs=2e-3) == pytest.approx(0.2, abs=0.02)


def test_heads_are_drawn_in_the_frames_with_values(written: tuple[Path, Path], track: Track) -> None:
    for number, pixels in enumerate(read(written[1])[1]):
        left, right = halves(pixels)
        assert abs(left[300:, 320:].mean() - 8 * number) < 3
        changed = np.abs(right - left).max(axis=2) > 30
        row = number - FIRST
        if row < 0 or not track.known[row]:
            assert not changed.any()
            continue
        points = track.face(row).project(track.face(row).vertices)
        x0, y0, x1, y1 = *points.min(axis=0), *points.max(axis=0)
        rows, columns = np.nonzero(changed)
        np.testing.assert_allclose([columns.min(), rows.min(), columns.max(), rows.max()], [x0, y0, x1, y1], atol=8)
        assert changed[int(y0) : int(y1), int(x0) : int(x1)].mean() > 0.5


def test_other_programs_play_the_overlay(written: tuple[Path, Path]) -> None:
    cv2 = pytest.importorskip("cv2")
    capture = cv2.VideoCapture(str(written[1]))
    assert (capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT)) == (2 * SIZE[0], SIZE[1])
    assert sum(1 for _ in iter(lambda: capture.read()[0], False)) == 7
    video, sound, length_s = _streams_of(written[1])
    assert video == ("h264", "yuv420p") and sound == "aac"
    # The last of the uneven frames comes after a second; players stop where a file states its end.
    assert length_s["video"] > 1.0 and length_s["file"] > 1.0


def _streams_of(path: Path) -> tuple[tuple[str, str], str | None, dict[str, float]]:
    """Return codec and pixel format, audio codec, and lengths in seconds: by ffprobe where it is installed."""
    if (program := shutil.which("ffprobe")) is None:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            lengths_s = {"video": float(stream.duration * stream.time_base), "file": container.duration / av.time_base}
            sound = container.streams.audio[0].codec_context.name if container.streams.audio else None
            return (stream.codec_context.name, stream.codec_context.pix_fmt), sound, lengths_s
    command = [program, "-v", "error", "-show_streams", "-show_format", "-of", "json", str(path)]
    report = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    by_kind = {stream["codec_type"]: stream for stream in report["streams"]}
    video, sound = by_kind["video"], by_kind.get("audio", {}).get("codec_name")
    lengths_s = {"video": float(video["duration"]), "file": float(report["format"]["duration"])}
    return (video["codec_name"], video["pix_fmt"]), sound, lengths_s


def test_nearer_head_covers_the_other(open_head: HeadModel, track: Track) -> None:
    pixels = np.zeros((SIZE[1], SIZE[0], 3), dtype=np.uint8)
    near = replace(track, number=1, scale_px_per_m=2 * track.scale_px_per_m)
    aside = track.translation_m + np.array([0.25, 0, 0], dtype=np.float32)
    both = halves(side_by_side(Frame(FIRST, 0, pixels), [track, replace(track, translation_m=aside)]))[1]
    alone = halves(side_by_side(Frame(FIRST, 0, pixels), [track]))[1]
    assert (both.any(axis=2).sum() > 1.5 * alone.any(axis=2).sum()) and alone.any()
    # Half as far away, at twice the scale, it covers the other, whatever their order.
    near = replace(near, translation_m=track.translation_m * np.float32(0.5))
    front = halves(side_by_side(Frame(FIRST, 0, pixels), [near]))[1]
    shown = [halves(side_by_side(Frame(FIRST, 0, pixels), order))[1] for order in ([track, near], [near, track])]
    np.testing.assert_array_equal(shown[0], shown[1])
    # The mesh is slightly transparent.
    assert np.abs(shown[0] - front)[front.any(axis=2)].max() <= (1 - OPACITY) * 255 + 1


@pytest.mark.parametrize(
    ("size", "shown"),
    [((321, 241), (642, 240)), ((1281, 1439), (1282, 720)), ((900, 300), (1800, 300)), ((2560, 400), (2560, 200))],
)
def test_sizes_are_even_and_limited(size: tuple[int, int], shown: tuple[int, int], tmp_path: Path) -> None:
    frame = Frame(0, 0, np.full((size[1], size[0], 3), 90, dtype=np.uint8))
    pixels = side_by_side(frame, ())
    assert pixels.shape[1::-1] == shown
    if size == (321, 241):
        frames = [np.full((size[1], size[0], 3), 90, dtype=np.uint8)] * 2
        path = tmp_path / "frames"
        path.mkdir()
        for k, each in enumerate(frames):
            _save(each, path / f"{k}.png")
        overlay, notes, _ = overlay_of(FrameFolder(path), clip_of(2, size=size), tmp_path)
        assert not notes and read(overlay)[1][0].shape[1::-1] == shown


def _save(pixels: np.ndarray, path: Path) -> None:
    from PIL import Image

    Image.fromarray(pixels).save(path)


@pytest.mark.parametrize(
    ("suffix", "codec", "sound", "kept"),
    [
        (".webm", "libvpx", "libopus", True),
        (".mkv", "mpeg4", "flac", True),
        (".mkv", "mpeg4", "pcm_s16le", False),
        (".mkv", "mpeg4", "ac3", False),
        (".webm", "libvpx", "vorbis", False),
        (".mov", "mpeg4", "alac", False),
    ],
)
@pytest.mark.parametrize("start_ms", [0, 5000])
def test_audio_of_any_codec_is_kept(
    suffix: str, codec: str, sound: str, kept: bool, start_ms: int, tmp_path: Path
) -> None:
    path = write_video(tmp_path / f"a{suffix}", shades(10), codec=codec, sound=sound, start_ms=start_ms)
    (tmp_path / "out").mkdir()
    overlay, notes, _ = overlay_of(VideoFile(path), clip_of(10), tmp_path / "out")
    assert not notes and read(overlay)[0][0] == 0
    if kept:
        assert packets(overlay) == packets(path)
    else:
        assert _streams_of(overlay)[1] == "aac"
    # Later files have a clock that does not begin with 0; audio and video stay in step.
    assert burst_s(overlay) == pytest.approx(burst_s(path), abs=5e-3) == pytest.approx(0.2, abs=0.03)


def test_audio_ends_with_the_video(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", shades(5), sound="aac", sound_s=4.0)
    overlay, _, _ = overlay_of(VideoFile(path), clip_of(5), tmp_path)
    assert 0.9 < _streams_of(overlay)[2]["file"] < 1.4


def test_audio_that_cannot_be_read_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "a.mp4", shades(5), sound="aac")

    def broken(*_: object) -> Iterator[object]:
        raise av.error.InvalidDataError(1, "Invalid data")
        yield

    with monkeypatch.context() as patch:
        patch.setattr(AudioWriter, "_copied_packets", broken)
        overlay, notes, _ = overlay_of(VideoFile(path), clip_of(5), tmp_path)
    assert len(read(overlay)[0]) == 5
    assert notes == [f"{path}: sound cannot be read (Invalid data); the overlay lacks it from there on"]
    path = write_video(tmp_path / "a.mkv", shades(5), sound="aac")
    path.write_bytes(path.read_bytes().replace(b"A_AAC", b"A_ZZZ"))
    overlay, notes, _ = overlay_of(VideoFile(path), clip_of(5), tmp_path)
    assert len(read(overlay)[0]) == 5 and _streams_of(overlay)[1] is None
    assert notes == [f"{path}: sound cannot be read (unknown encoding); the overlay lacks it from there on"]


class ChangedSource:
    """Has another number of frames than the clip."""

    def __init__(self, left: int, error: str = "") -> None:
        self.info, self._left, self._error = VideoInfo("a.mp4", FPS, 5), left, error

    def frames(self, every: int = 1) -> Iterator[Frame]:
        for k in range(self._left):
            yield Frame(k, k / FPS, np.zeros((48, 64, 3), dtype=np.uint8))
        if self._error:
            raise Smirk3dError(self._error)


def test_source_that_breaks_in_the_second_pass(tmp_path: Path) -> None:
    overlay, notes, _ = overlay_of(ChangedSource(3, "a.mp4: gone after 3 frames"), clip_of(5), tmp_path)
    assert len(read(overlay)[0]) == 3 and notes == ["a.mp4: gone after 3 frames; the overlay has 3 of 5 frames"]
    overlay, notes, _ = overlay_of(ChangedSource(3), clip_of(5), tmp_path)
    assert notes == ["a.mp4: has changed since it was read first; the overlay has 3 of 5 frames"]
    # The first pass has reported damage after the frames that it read.
    assert overlay_of(ChangedSource(5, "a.mp4: damaged"), clip_of(5), tmp_path)[1:] == ([], 5)
    assert overlay_of(ChangedSource(7), clip_of(5), tmp_path)[1:] == ([], 5)
    overlay.unlink()
    with pytest.raises(Smirk3dError, match=r"^a\.mp4: gone$"):
        overlay_of(ChangedSource(0, "a.mp4: gone"), clip_of(5), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_no_incomplete_file_remains(error: BaseException, tmp_path: Path) -> None:
    counted = []

    def stop() -> None:
        counted.append(1)
        if len(counted) == 100:  # by then something has been written
            raise error

    expected = KeyboardInterrupt if error is KeyboardInterrupt else Smirk3dError
    with pytest.raises(expected) as caught:
        write_overlay(clip_of(120), ChangedSource(120), tmp_path / "o.mp4", advance=stop)
    assert list(tmp_path.iterdir()) == []
    if expected is Smirk3dError:
        assert str(caught.value).endswith(
            "o.mp4: cannot be written (No space left on device); free space, or use --no-overlay"
        )
