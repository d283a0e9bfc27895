"""Videos, folders and webcams: the right frames at the right times, upright, and what damage leaves."""

from __future__ import annotations

import os
import sys
import tracemalloc
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from video_files import HEIGHT, WIDTH, click, cut_off, shades, turned, write_video

from smirk3d.errors import Smirk3dError
from smirk3d.media import video
from smirk3d.media.video import FrameFolder, FrameSource, VideoFile, Webcam, open_source, webcam_number

av = pytest.importorskip("av")
UNEVEN_MS = [0, 40, 80, 200, 210, 300, 1000]


def read(source: FrameSource, every: int = 1) -> tuple[list[video.Frame], str]:
    """Return the frames and what the source says at the end."""
    frames = []
    try:
        for frame in source.frames(every):
            frames.append(frame)
    except Smirk3dError as error:
        return frames, str(error)
    return frames, ""


def level(frame: video.Frame) -> float:
    """Return which of `shades` a frame is."""
    return float(frame.pixels[HEIGHT // 2 :, WIDTH // 2 :].mean()) / 8


def picture_folder(folder: Path, *names: str, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Path:
    folder.mkdir(exist_ok=True)
    for k, name in enumerate(names):
        Image.new("RGB", size, (8 * k,) * 3).save(folder / name)
    return folder


@pytest.mark.parametrize("start_ms", [0, 5000])
@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "libx264"), (".mkv", "mpeg4"), (".webm", "libvpx")])
def test_uneven_times_are_kept(suffix: str, codec: str, start_ms: int, tmp_path: Path) -> None:
    path = write_video(tmp_path / f"a{suffix}", shades(7), UNEVEN_MS, codec=codec, start_ms=start_ms)
    source = VideoFile(path)
    frames, said = read(source)
    assert not said and [frame.number for frame in frames] == list(range(7))
    np.testing.assert_allclose([frame.time_s for frame in frames], np.array(UNEVEN_MS) / 1000, atol=1e-6)
    np.testing.assert_allclose([level(frame) for frame in frames], range(7), atol=0.3)
    assert frames[0].pixels.shape == (HEIGHT, WIDTH, 3) and frames[0].pixels.dtype == np.uint8
    assert source.start_s() == pytest.approx(start_ms / 1000, abs=0.1)


def test_frames_without_times_follow_at_the_rate(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.h264", shades(7), UNEVEN_MS, codec="libx264")
    source = VideoFile(path)
    np.testing.assert_allclose([frame.time_s for frame in read(source)[0]], np.arange(7) / source.info.rate_fps)


def times(shown_s: list[float | None], rate_fps: float = 10.0) -> list[float]:
    return [time_s for _, time_s in video._with_times([SimpleNamespace(time=each) for each in shown_s], rate_fps)]


def test_repeated_times_do_not_delay_what_follows() -> None:
    assert times([3.0, 3.1, 3.1, 3.2, 3.3]) == pytest.approx([0, 0.1, 0.15, 0.2, 0.3])
    assert times([None, None, 5.0, 5.1]) == pytest.approx([0, 0.1, 0.2, 0.3])
    assert times([0.0, None, 0.2]) == pytest.approx([0, 0.1, 0.2])


def test_recordings_that_are_joined_follow_each_other() -> None:
    assert times([7.0, 7.1, 9.0, 0.0, 0.1, 0.3]) == pytest.approx([0, 0.1, 2.0, 2.1, 2.2, 2.4])


@given(st.lists(st.none() | st.floats(0, 100), min_size=1), st.floats(1, 240))
def test_every_frame_is_later_than_the_one_before(shown_s: list[float | None], rate_fps: float) -> None:
    found = times(shown_s, rate_fps)
    assert found[0] == 0 and len(found) == len(shown_s) and (np.diff(found) > 0).all()


@pytest.mark.parametrize("angle_deg", [0, 90, 180, 270])
def test_turned_videos_are_upright(angle_deg: int, tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    path = turned(write_video(tmp_path / "a.mp4", shades(2)), angle_deg)
    found = read(VideoFile(path))[0][0].pixels
    taken, told = cv2.VideoCapture(str(path)).read()
    assert taken and found.shape == told.shape
    assert np.abs(found.astype(int) - told[..., ::-1]).mean() < 4
    # Clockwise, the corner goes from the top left to the top right, and so on.
    right, bottom = angle_deg in (90, 180), angle_deg in (180, 270)
    corner = found[-4 if bottom else 3, -4 if right else 3].astype(int)
    assert corner[0] > 150 > 90 > corner[1]


def test_pixels_become_square(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", shades(2), aspect="3/2")
    assert read(VideoFile(path))[0][0].pixels.shape == (HEIGHT, WIDTH * 3 // 2, 3)


def test_frames_get_the_size_of_the_first(tmp_path: Path) -> None:
    parts = [
        write_video(tmp_path / f"{k}.h264", shades(3, size), codec="libx264")
        for k, size in enumerate([(WIDTH, HEIGHT), (2 * WIDTH, 2 * HEIGHT)])
    ]
    both = tmp_path / "both.h264"
    both.write_bytes(b"".join(part.read_bytes() for part in parts))
    frames, said = read(VideoFile(both))
    assert not said and [frame.pixels.shape for frame in frames] == [(HEIGHT, WIDTH, 3)] * 6
    np.testing.assert_allclose([level(frame) for frame in frames], [0, 1, 2] * 2, atol=0.3)


@pytest.mark.parametrize("sound", [None, "aac"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_truncated_file_gives_what_decodes_and_says_how_much(suffix: str, sound: str | None, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    noise = [generator.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8) for _ in range(60)]
    path = write_video(tmp_path / f"a{suffix}", noise, sound=sound, sound_s=2.4)
    whole, said = read(VideoFile(path))
    assert not said and len(whole) == 60
    some, said = read(VideoFile(cut_off(path, 0.5)))
    assert 15 < len(some) < 45
    assert all(np.array_equal(a.pixels, b.pixels) and a.time_s == b.time_s for a, b in zip(some[:-1], whole))
    assert said.startswith(f"{path}: ") and f"after {len(some)} frames; copy it again" in said and "\n" not in said


def test_pictures_that_end_before_the_sound_are_told(tmp_path: Path) -> None:
    path, generator = tmp_path / "a.mp4", np.random.default_rng(0)
    with av.open(str(path), "w", options={"movflags": "faststart", "max_interleave_delta": "1"}) as container:
        stream, sound = container.add_stream("mpeg4", rate=25), container.add_stream("aac", rate=48_000, layout="mono")
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = WIDTH, HEIGHT, "yuv420p", 4_000_000
        for frame in click(1.6):  # all of it comes before the pictures
            container.mux(sound.encode(frame))
        container.mux(sound.encode())
        for _ in range(40):
            noise = generator.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noise, format="rgb24")))
        container.mux(stream.encode())
    frames, said = read(VideoFile(cut_off(path, 0.7)))
    assert 20 < len(frames) < 35 and f"of 1.6 s, after {len(frames)} frames" in said


def test_damage_in_the_middle_is_told(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", shades(40), codec="libx264", g="10")
    content, generator = bytearray(path.read_bytes()), np.random.default_rng(0)
    some = slice(len(content) * 2 // 3, len(content) * 5 // 6)
    content[some] = generator.bytes(some.stop - some.start)
    path.write_bytes(content)
    frames, said = read(VideoFile(path))
    assert 0 < len(frames) < 40 and [round(level(frame)) for frame in frames[:-1]] == [
        k % 32 for k in range(len(frames) - 1)
    ]
    assert said.startswith(f"{path}: ") and f"after {len(frames)} frames; copy it again" in said


def test_long_sound_short_edits_and_dropped_frames_are_no_damage(tmp_path: Path) -> None:
    for suffix in (".mp4", ".mkv"):
        path = write_video(tmp_path / f"sound{suffix}", shades(5), sound="aac", sound_s=1.5)
        frames, said = read(VideoFile(path))
        assert len(frames) == 5 and not said and VideoFile(path).info.has_audio
    dropped = write_video(tmp_path / "dropped.avi", shades(7), UNEVEN_MS)
    assert VideoFile(dropped).info.n_frames != 7 and read(VideoFile(dropped))[1] == ""
    frames, said = read(VideoFile(_edited(tmp_path)))
    assert not said and len(frames) == 30 and level(frames[0]) == pytest.approx(10, abs=0.3)


def _edited(folder: Path) -> Path:
    """Return a video of 40 frames that is to be shown from the tenth on, as programs cut that do not encode."""
    given, path = write_video(folder / "given.mp4", shades(40), codec="libx264", g="40", bf="0"), folder / "edited.mp4"
    with av.open(str(given)) as source, av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as target:
        stream = target.add_stream_from_template(source.streams.video[0], opaque=True)
        for packet in source.demux(video=0):
            if packet.dts is not None:
                shift = round(Fraction(10, 25) / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, stream
                target.mux(packet)
    return path


def test_what_a_file_says_of_itself(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", shades(5), sound="aac")
    info = VideoFile(path).info
    assert (info.name, info.n_frames, info.has_audio) == (str(path), 5, True) and info.rate_fps == pytest.approx(25)
    info = VideoFile(write_video(tmp_path / "b.webm", shades(5), codec="libvpx")).info
    assert (info.n_frames, info.has_audio) == (None, False) and info.rate_fps == pytest.approx(25)


def test_files_that_are_no_videos_are_told(tmp_path: Path) -> None:
    contents = {"a.txt": b"hello world\n" * 50, "b.srt": b"1\n00:00:00,000 --> 00:00:01,000\nhi\n", "c.mp4": b""}
    for name, content in {**contents, "d.mp4": bytes(9000), "e.mp4": b"hello", "f\n.pdf": b"%PDF-1.4"}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(Smirk3dError) as caught:
            open_source(str(tmp_path / name))
        assert name.replace("\n", "\\n") in str(caught.value) and "\n" not in str(caught.value)
        assert "video" in str(caught.value)
    for name in ("none.mp4", "a\0b.mp4"):
        with pytest.raises(Smirk3dError, match=r"check the path"):
            open_source(str(tmp_path / name))


def test_unknown_encodings_are_told(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", shades(3))
    path.write_bytes(path.read_bytes().replace(b"V_MPEG4/ISO/ASP", b"V_OTHER/ISO/ASP"))
    with pytest.raises(Smirk3dError, match=r"a\.mkv: its pictures .* unknown way; convert it to H\.264"):
        VideoFile(path)


def test_the_cover_of_a_song_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=1)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuvj420p"
        stream.disposition = av.stream.Disposition.attached_pic.value
        container.mux(stream.encode(av.VideoFrame.from_ndarray(next(iter(shades(1))), format="rgb24")))
        container.mux(stream.encode())
    with pytest.raises(Smirk3dError, match="has no pictures"):
        VideoFile(path)


@pytest.mark.parametrize("name", ["Zwölf Äpfel.mp4", "12:30.mp4", "a%03d.mp4", "file:b.mp4", "'c\".mp4", "0"])
def test_any_name_is_only_a_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(tmp_path / "plain.mp4", shades(3)).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    source = open_source(name)
    assert isinstance(source, VideoFile) and len(read(source)[0]) == 3 and source.info.name == name


def test_some_of_the_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(tmp_path / "cam0.mkv", shades(7))
    monkeypatch.setitem(video.WEBCAMS, sys.platform, ("matroska", str(tmp_path / "cam{}.mkv")))
    folder = picture_folder(tmp_path / "frames", *(f"{k}.png" for k in range(7)))
    for source in (VideoFile(tmp_path / "cam0.mkv"), FrameFolder(folder), Webcam(0)):
        frames, said = read(source, every=3)
        assert not said and [frame.number for frame in frames] == [0, 3, 6]
        np.testing.assert_allclose([level(frame) for frame in frames], [0, 3, 6], atol=0.3)
        np.testing.assert_allclose([frame.time_s for frame in frames], np.array([0, 3, 6]) / 25)


def test_pictures_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    names = ["frame1.png", "frame2.jpg", "frame9.png", "frame10.png", "frame10²3.png", "frame100.PNG"]
    folder = picture_folder(tmp_path / "frames", *names)
    (folder / "notes.txt").write_text("not a picture")
    (folder / ".frame0.png").write_bytes(b"hidden")
    (folder / "small.png").mkdir()
    source = open_source(str(folder), 50.0)
    frames, said = read(source)
    assert not said and (source.info.n_frames, source.info.rate_fps, source.info.has_audio) == (6, 50.0, False)
    np.testing.assert_allclose([level(frame) for frame in frames], range(6), atol=0.3)
    assert [frame.time_s for frame in frames] == [0, 0.02, 0.04, 0.06, 0.08, 0.1]
    assert open_source(str(folder)).info.rate_fps == video.DEFAULT_RATE_FPS


def test_damaged_pictures_do_not_lose_what_came_before(tmp_path: Path) -> None:
    folder = picture_folder(tmp_path / "frames", "f8.png", "f9.png", "f10.png", "f11.png")
    (folder / "f10.png").write_bytes(b"not a picture")
    frames, said = read(FrameFolder(folder))
    assert len(frames) == 2 and str(folder / "f10.png") in said and "after 2 of 4 frames" in said
    Image.new("RGB", (10, 20)).save(folder / "f10.png")
    frames, said = read(FrameFolder(folder))
    assert len(frames) == 2 and str(folder / "f10.png") in said and "10x20" in said and f"{WIDTH}x{HEIGHT}" in said


def test_folders_without_pictures_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(Smirk3dError, match="no pictures in it; name a video or a folder of frames"):
        open_source(str(tmp_path))

    def locked(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", locked)
    with pytest.raises(Smirk3dError, match=r": Permission denied; check its permissions"):
        open_source(str(tmp_path))


def test_numbers_are_webcams_but_for_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert [webcam_number(name) for name in ("-", "0", "12", "²", "+1", "-1", "", "a", "1.mp4")] == [0, 0, 12] + [
        None
    ] * 6
    (tmp_path / "0").write_bytes(b"no video")
    assert webcam_number("0") is None and webcam_number("-") == 0
    with pytest.raises(Smirk3dError, match=r"^0: cannot be opened"):
        open_source("0")


@pytest.mark.parametrize(("name", "number"), [("7", 7), ("-", 0)])
def test_a_webcam_that_is_not_there(name: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(video.WEBCAMS, sys.platform, ("matroska", str(tmp_path / "no{}")))
    with pytest.raises(Smirk3dError, match=rf"^webcam {number}: cannot be opened .* connect it \(.*no{number}\)"):
        open_source(name)


def test_a_device_of_ffmpeg_is_read_like_a_webcam(monkeypatch: pytest.MonkeyPatch) -> None:
    """FFmpeg's own source of pictures, which stands where the driver of a camera would."""
    device = "testsrc=size=64x48:rate=20:duration=0.3"
    monkeypatch.setitem(video.WEBCAMS, sys.platform, ("lavfi", device + ",trim=start_frame={}"))
    source = open_source("2")
    frames, said = read(source)
    assert not said and (source.info.rate_fps, source.info.n_frames) == (20.0, None)
    assert [frame.pixels.shape for frame in frames] == [(48, 64, 3)] * 4
    assert [frame.time_s for frame in frames] == pytest.approx([0, 0.05, 0.1, 0.15])


class Camera:
    """A container that asks to be patient, gives frames and is unplugged."""

    def __init__(self, real: object, unplugged: bool) -> None:
        self.real, self.unplugged, self.asked = real, unplugged, 0
        self.streams, self.format = real.streams, real.format  # type: ignore[attr-defined]

    def __enter__(self) -> Camera:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.real.close()  # type: ignore[attr-defined]

    def decode(self, stream: object):
        self.asked += 1
        if self.asked == 1:
            raise av.error.BlockingIOError(11, "Resource temporarily unavailable")
        yield from self.real.decode(stream)  # type: ignore[attr-defined]
        if self.unplugged:
            raise OSError(19, "No such device")


@pytest.mark.parametrize("unplugged", [False, True])
def test_webcams_may_pause_and_be_unplugged(unplugged: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, given = write_video(tmp_path / "a.mkv", shades(4)), av.open
    monkeypatch.setattr(av, "open", lambda url, format, options: Camera(given(str(path)), unplugged))
    source = open_source("3", 30.0)
    assert (source.info.name, source.info.n_frames, source.info.has_audio) == ("webcam 3", None, False)
    frames, said = read(source)
    assert [frame.time_s for frame in frames] == pytest.approx([0, 0.04, 0.08, 0.12])
    assert said == ("webcam 3: No such device after 4 frames; connect it again" if unplugged else "")


def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    size = (160, 120)
    path = write_video(tmp_path / "long.mp4", (pixels for _ in range(50) for pixels in shades(40, size)))
    frame_bytes, used = 3 * size[0] * size[1], {}
    tracemalloc.start()
    try:
        for frame in VideoFile(path).frames():
            if frame.number == 200:
                tracemalloc.reset_peak()
            used[frame.number] = _resident_bytes()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(used) == 2000 and peak < 50 * frame_bytes
    # Of 1,800 frames 10 at most could have stayed behind in FFmpeg, which Python does not see.
    assert used[1999] - used[200] < 180 * frame_bytes


def _resident_bytes() -> int:
    """Return the memory of this process; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
