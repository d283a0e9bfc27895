"""Frame sources: the right frames at the right times, upright; all frames before damage, then an error."""

from __future__ import annotations

import os
import re
import sys
import tracemalloc
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from video_files import (
    HEIGHT,
    WIDTH,
    click,
    cut_off,
    shades,
    turned,
    with_damaged_packet,
    without_rate,
    write_video,
)

from smirk3d.errors import Smirk3dError
from smirk3d.media import decoding, video
from smirk3d.media.video import FrameFolder, FrameSource, VideoFile, Webcam, open_source, webcam_number
from smirk3d.media.webp import frame_durations_s

av = pytest.importorskip("av")
UNEVEN_MS = [0, 40, 80, 200, 210, 300, 1000]


def read(source: FrameSource, every: int = 1) -> tuple[list[video.Frame], str]:
    """Return the frames and the message of the error at the end, "" without one."""
    frames = []
    try:
        for frame in source.frames(every):
            frames.append(frame)
    except Smirk3dError as error:
        return frames, str(error)
    return frames, ""


def level(frame: video.Frame) -> float:
    """Return the index of a frame in `shades`."""
    return float(frame.pixels[HEIGHT // 2 :, WIDTH // 2 :].mean()) / 8


def image_folder(folder: Path, *names: str, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Path:
    folder.mkdir(exist_ok=True)
    for k, name in enumerate(names):
        Image.new("RGB", size, (8 * k,) * 3).save(folder / name)
    return folder


@pytest.mark.parametrize("start_ms", [0, 5000])
@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "libx264"), (".mkv", "mpeg4"), (".webm", "libvpx")])
def test_uneven_times_are_kept(suffix: str, codec: str, start_ms: int, tmp_path: Path) -> None:
    path = write_video(tmp_path / f"a{suffix}", shades(7), UNEVEN_MS, codec=codec, start_ms=start_ms)
    source = VideoFile(path)
    frames, message = read(source)
    assert not message and [frame.number for frame in frames] == list(range(7))
    np.testing.assert_allclose([frame.time_s for frame in frames], np.array(UNEVEN_MS) / 1000, atol=1e-6)
    np.testing.assert_allclose([level(frame) for frame in frames], range(7), atol=0.3)
    assert frames[0].pixels.shape == (HEIGHT, WIDTH, 3) and frames[0].pixels.dtype == np.uint8
    assert source.start_s() == pytest.approx(start_ms / 1000, abs=0.1)


def test_frames_without_times_follow_at_the_rate(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.h264", shades(7), UNEVEN_MS, codec="libx264")
    source = VideoFile(path)
    np.testing.assert_allclose([frame.time_s for frame in read(source)[0]], np.arange(7) / source.info.rate_fps)


@pytest.mark.parametrize(("codec", "n_b_frames"), [("libx264", 0), ("libx264", 3), ("mpeg4", 2)])
def test_frames_in_avi_are_shown_in_the_order_of_decoding_times(codec: str, n_b_frames: int, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", shades(24), codec=codec, bf=str(n_b_frames), g="12")
    frames, message = read(VideoFile(path))
    assert not message
    np.testing.assert_allclose([frame.time_s for frame in frames], np.arange(24) / 25, atol=1e-6)
    np.testing.assert_allclose([level(frame) for frame in frames], range(24), atol=0.3)


@pytest.mark.parametrize(("suffix", "codec"), [(".webm", "libvpx"), (".webm", "libvpx-vp9"), (".mkv", "libx264")])
@pytest.mark.parametrize("step_ms", [16, 40, 100])
def test_rate_of_a_recording_that_states_none(suffix: str, codec: str, step_ms: int, tmp_path: Path) -> None:
    """Browsers record frames at uneven times and state no rate; a pause is no lower rate."""
    times_ms = [step_ms * k + 7 * (k % 3) + (1500 if k > 20 else 0) for k in range(90)]
    path = without_rate(write_video(tmp_path / f"a{suffix}", shades(90), times_ms, codec=codec))
    source = VideoFile(path)
    assert source.info.rate_fps == pytest.approx(1000 / step_ms, rel=0.05)
    np.testing.assert_allclose([frame.time_s for frame in read(source)[0]], np.array(times_ms) / 1000, atol=1e-6)


def test_rate_of_one_frame_is_the_default(tmp_path: Path) -> None:
    path = without_rate(write_video(tmp_path / "a.webm", shades(1), [0], codec="libvpx"))
    assert VideoFile(path).info.rate_fps == video.DEFAULT_RATE_FPS


@pytest.mark.parametrize("rate_fps", [240, 960])
def test_high_rates_that_the_frames_have_are_kept(rate_fps: int, tmp_path: Path) -> None:
    times_ms = [round(1000 * k / rate_fps) for k in range(60)]
    source = VideoFile(write_video(tmp_path / "a.mp4", shades(60), times_ms))
    assert source.info.rate_fps == pytest.approx(rate_fps, rel=0.02)


@pytest.mark.parametrize("angle_deg", [0, 90, 180, 270])
def test_rotated_videos_become_upright(angle_deg: int, tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    path = turned(write_video(tmp_path / "a.mp4", shades(2)), angle_deg)
    found = read(VideoFile(path))[0][0].pixels
    ok, expected = cv2.VideoCapture(str(path)).read()
    assert ok and found.shape == expected.shape
    assert np.abs(found.astype(int) - expected[..., ::-1]).mean() < 4
    # Clockwise, the corner goes from the top left to the top right, and so on.
    right, bottom = angle_deg in (90, 180), angle_deg in (180, 270)
    corner = found[-4 if bottom else 3, -4 if right else 3].astype(int)
    assert corner[0] > 150 > 90 > corner[1]


def test_frames_are_resampled_to_square_pixels(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", shades(2), aspect="3/2")
    assert read(VideoFile(path))[0][0].pixels.shape == (HEIGHT, WIDTH * 3 // 2, 3)


def test_frames_are_resampled_to_the_size_of_the_first(tmp_path: Path) -> None:
    parts = [
        write_video(tmp_path / f"{k}.h264", shades(3, size), codec="libx264")
        for k, size in enumerate([(WIDTH, HEIGHT), (2 * WIDTH, 2 * HEIGHT)])
    ]
    both = tmp_path / "both.h264"
    both.write_bytes(b"".join(part.read_bytes() for part in parts))
    frames, message = read(VideoFile(both))
    assert not message and [frame.pixels.shape for frame in frames] == [(HEIGHT, WIDTH, 3)] * 6
    np.testing.assert_allclose([level(frame) for frame in frames], [0, 1, 2] * 2, atol=0.3)


@pytest.mark.parametrize("sound", [None, "aac"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_truncated_file_yields_what_decodes_and_reports_its_length(
    suffix: str, sound: str | None, tmp_path: Path
) -> None:
    generator = np.random.default_rng(0)
    noise = [generator.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8) for _ in range(60)]
    path = write_video(tmp_path / f"a{suffix}", noise, sound=sound, sound_s=2.4)
    complete, message = read(VideoFile(path))
    assert not message and len(complete) == 60
    some, message = read(VideoFile(cut_off(path, 0.5)))
    assert 15 < len(some) < 45
    assert all(np.array_equal(a.pixels, b.pixels) and a.time_s == b.time_s for a, b in zip(some[:-1], complete))
    assert (
        message.startswith(f"{path}: ")
        and f"after {len(some)} frames; copy it again" in message
        and "\n" not in message
    )


def test_video_that_ends_before_its_audio_is_reported(tmp_path: Path) -> None:
    path, generator = tmp_path / "a.mp4", np.random.default_rng(0)
    with av.open(str(path), "w", options={"movflags": "faststart", "max_interleave_delta": "1"}) as container:
        stream, sound = container.add_stream("mpeg4", rate=25), container.add_stream("aac", rate=48_000, layout="mono")
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = WIDTH, HEIGHT, "yuv420p", 4_000_000
        for frame in click(1.6):  # all of it is stored before the video
            container.mux(sound.encode(frame))
        container.mux(sound.encode())
        for _ in range(40):
            noise = generator.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noise, format="rgb24")))
        container.mux(stream.encode())
    frames, message = read(VideoFile(cut_off(path, 0.7)))
    assert 20 < len(frames) < 35 and f"of 1.6 s, after {len(frames)} frames" in message


def test_frames_after_damage_in_the_middle_are_read(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", shades(40), codec="libx264", g="10")
    content, generator = bytearray(path.read_bytes()), np.random.default_rng(0)
    some = slice(len(content) * 2 // 3, len(content) * 5 // 6)
    content[some] = generator.bytes(some.stop - some.start)
    path.write_bytes(content)
    frames, message = read(VideoFile(path))
    shown = [round(25 * frame.time_s) for frame in frames]
    assert shown[:6] == list(range(6)) and shown[-12:] == list(range(28, 40))
    intact = frames[:6] + frames[-12:]
    np.testing.assert_allclose([level(frame) for frame in intact], [k % 32 for k in shown[:6] + shown[-12:]], atol=0.3)
    n_lost = 40 - len(frames)
    assert message == f"{path}: damaged after 8 frames, {n_lost} of 40 frames lost; copy it again"


@pytest.mark.parametrize("index", [0, 13, 28, 29])
@pytest.mark.parametrize(("codec", "n_b_frames"), [("libx264", 0), ("libx264", 3), ("libx265", 0)])
def test_a_damaged_packet_is_left_out_and_counted(codec: str, n_b_frames: int, index: int, tmp_path: Path) -> None:
    """Errors in the last packets come while the decoder is emptied, where several threads lose other frames, too."""
    path = write_video(tmp_path / "a.mp4", shades(30), codec=codec, bf=str(n_b_frames), g="10")
    intact = {round(frame.time_s, 3): level(frame) for frame in read(VideoFile(path))[0]}
    frames, message = read(VideoFile(with_damaged_packet(path, index)))
    n_lost = 30 - len(frames)
    assert re.fullmatch(rf".*a\.mp4: damaged after {index} frames, {n_lost} of 30 frames lost; copy it again", message)
    assert 1 <= n_lost <= 11 and [frame.number for frame in frames] == list(range(len(frames)))
    assert set(round(frame.time_s, 3) for frame in frames) <= set(intact) or not index
    if index:
        others = [frame for frame in frames if frame.time_s > 0.8] if index == 13 else frames[: index - 4]
        np.testing.assert_allclose([level(f) for f in others], [intact[round(f.time_s, 3)] for f in others], atol=0.3)


def test_file_without_a_readable_frame(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", shades(1))
    frames, message = read(VideoFile(with_damaged_packet(path, 0, n_bytes=50)))
    assert not frames and message.startswith(f"{path}: ") and message.endswith(" after 0 frames; copy it again")


def test_joined_and_cut_recordings_are_no_damage(tmp_path: Path) -> None:
    """Where a recording was cut, its first frames refer to others that are gone."""
    path = write_video(
        tmp_path / "a.h264", shades(40), codec="libx264", g="10", bf="2", **{"x264-params": "open-gop=1"}
    )
    with av.open(str(path)) as container:
        second = [packet for packet in container.demux(video=0) if packet.is_keyframe][1]
    path.write_bytes(path.read_bytes()[second.pos :])
    frames, message = read(VideoFile(path))
    assert not message and len(frames) >= 28


def test_long_audio_edit_lists_and_dropped_frames_are_no_damage(tmp_path: Path) -> None:
    for suffix in (".mp4", ".mkv"):
        path = write_video(tmp_path / f"sound{suffix}", shades(5), sound="aac", sound_s=1.5)
        frames, message = read(VideoFile(path))
        assert len(frames) == 5 and not message and VideoFile(path).info.has_audio
    dropped = write_video(tmp_path / "dropped.avi", shades(7), UNEVEN_MS)
    assert VideoFile(dropped).info.n_frames != 7 and read(VideoFile(dropped))[1] == ""
    frames, message = read(VideoFile(_edited(tmp_path)))
    assert not message and len(frames) == 30 and level(frames[0]) == pytest.approx(10, abs=0.3)


def _edited(folder: Path) -> Path:
    """Return a video of 40 frames that starts at the tenth, as made by programs that cut without encoding."""
    given, path = write_video(folder / "given.mp4", shades(40), codec="libx264", g="40", bf="0"), folder / "edited.mp4"
    with av.open(str(given)) as source, av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as target:
        stream = target.add_stream_from_template(source.streams.video[0], opaque=True)
        for packet in source.demux(video=0):
            if packet.dts is not None:
                shift = round(Fraction(10, 25) / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, stream
                target.mux(packet)
    return path


def test_info_of_a_file(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", shades(5), sound="aac")
    info = VideoFile(path).info
    assert (info.name, info.n_frames, info.has_audio) == (str(path), 5, True) and info.rate_fps == pytest.approx(25)
    info = VideoFile(write_video(tmp_path / "b.webm", shades(5), codec="libvpx")).info
    assert (info.n_frames, info.has_audio) == (None, False) and info.rate_fps == pytest.approx(25)


def test_files_that_are_no_videos_are_refused(tmp_path: Path) -> None:
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


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_large_frames_are_refused_before_they_are_decoded(suffix: str, tmp_path: Path) -> None:
    path = write_video(tmp_path / f"a{suffix}", shades(2), codec="libx264")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "MAX_FRAME_PIXELS", WIDTH * HEIGHT)
        assert len(read(VideoFile(path))[0]) == 2
        patch.setattr(decoding, "MAX_FRAME_PIXELS", WIDTH * HEIGHT - 1)
        with pytest.raises(
            Smirk3dError, match=rf"a{suffix}: its frames are 64x48 pixels, more than 0 megapixels; make"
        ):
            VideoFile(path)


def test_frames_that_grow_too_large_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [
        write_video(tmp_path / f"{k}.h264", shades(3, size), codec="libx264").read_bytes()
        for k, size in enumerate([(WIDTH, HEIGHT), (4 * WIDTH, 4 * HEIGHT)])
    ]
    (tmp_path / "both.h264").write_bytes(b"".join(parts))
    monkeypatch.setattr(decoding, "MAX_FRAME_PIXELS", 2 * WIDTH * HEIGHT)
    frames, message = read(VideoFile(tmp_path / "both.h264"))
    assert len(frames) == 3 and "both.h264: damaged after 3 frames, 3 of 6 frames lost" in message


@pytest.mark.parametrize("aspect", ["1/9", "9/1"])
def test_extreme_pixel_aspects_are_refused(aspect: str, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", shades(2), codec="libx264", aspect=aspect)
    with pytest.raises(Smirk3dError, match=r"a\.mkv: its pixels have the aspect ratio .*; convert it to square pixels"):
        VideoFile(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in the file system")
def test_pipes_and_devices_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.mp4")
    (tmp_path / "link.mp4").symlink_to("/dev/zero")
    for name in (tmp_path / "a.mp4", tmp_path / "link.mp4", "/dev/null"):
        with pytest.raises(Smirk3dError, match=rf"{name}: is not a regular file; save the video to one first"):
            open_source(str(name))


def test_unknown_encodings_are_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", shades(3))
    path.write_bytes(path.read_bytes().replace(b"V_MPEG4/ISO/ASP", b"V_OTHER/ISO/ASP"))
    with pytest.raises(Smirk3dError, match=r"a\.mkv: its pictures .* unknown way; convert it to H\.264"):
        VideoFile(path)


def test_cover_picture_of_a_song_is_no_video(tmp_path: Path) -> None:
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
def test_names_are_not_interpreted_by_ffmpeg(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(tmp_path / "plain.mp4", shades(3)).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    source = open_source(name)
    assert isinstance(source, VideoFile) and len(read(source)[0]) == 3 and source.info.name == name


def test_every_third_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(tmp_path / "cam0.mkv", shades(7))
    monkeypatch.setitem(video.WEBCAMS, sys.platform, ("matroska", str(tmp_path / "cam{}.mkv")))
    folder = image_folder(tmp_path / "frames", *(f"{k}.png" for k in range(7)))
    for source in (VideoFile(tmp_path / "cam0.mkv"), FrameFolder(folder), Webcam(0)):
        frames, message = read(source, every=3)
        assert not message and [frame.number for frame in frames] == [0, 3, 6]
        np.testing.assert_allclose([level(frame) for frame in frames], [0, 3, 6], atol=0.3)
        np.testing.assert_allclose([frame.time_s for frame in frames], np.array([0, 3, 6]) / 25)


def test_images_are_sorted_by_the_numbers_in_their_names(tmp_path: Path) -> None:
    names = ["frame1.png", "frame2.jpg", "frame9.png", "frame10.png", "frame10²3.png", "frame100.PNG"]
    folder = image_folder(tmp_path / "frames", *names)
    (folder / "notes.txt").write_text("not a picture")
    (folder / ".frame0.png").write_bytes(b"hidden")
    (folder / "small.png").mkdir()
    source = open_source(str(folder), 50.0)
    frames, message = read(source)
    assert not message and (source.info.n_frames, source.info.rate_fps, source.info.has_audio) == (6, 50.0, False)
    np.testing.assert_allclose([level(frame) for frame in frames], range(6), atol=0.3)
    assert [frame.time_s for frame in frames] == [0, 0.02, 0.04, 0.06, 0.08, 0.1]
    assert open_source(str(folder)).info.rate_fps == video.DEFAULT_RATE_FPS


def test_images_before_a_damaged_one_are_kept(tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "frames", "f8.png", "f9.png", "f10.png", "f11.png")
    (folder / "f10.png").write_bytes(b"not a picture")
    frames, message = read(FrameFolder(folder))
    assert len(frames) == 2 and str(folder / "f10.png") in message and "after 2 of 4 frames" in message
    Image.new("RGB", (10, 20)).save(folder / "f10.png")
    frames, message = read(FrameFolder(folder))
    assert (
        len(frames) == 2
        and str(folder / "f10.png") in message
        and "10x20" in message
        and f"{WIDTH}x{HEIGHT}" in message
    )


def test_folders_without_images_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(Smirk3dError, match="no pictures in it; name a video or a folder of frames"):
        open_source(str(tmp_path))

    def locked(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", locked)
    with pytest.raises(Smirk3dError, match=r": Permission denied; check its permissions"):
        open_source(str(tmp_path))


def test_numbers_are_webcams_unless_a_file_has_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert [webcam_number(name) for name in ("-", "0", "12", "²", "+1", "-1", "", "a", "1.mp4")] == [0, 0, 12] + [
        None
    ] * 6
    (tmp_path / "0").write_bytes(b"no video")
    assert webcam_number("0") is None and webcam_number("-") == 0
    with pytest.raises(Smirk3dError, match=r"^0: cannot be opened"):
        open_source("0")


@pytest.mark.parametrize(("name", "number"), [("7", 7), ("-", 0)])
def test_missing_webcam_is_reported(name: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(video.WEBCAMS, sys.platform, ("matroska", str(tmp_path / "no{}")))
    with pytest.raises(Smirk3dError, match=rf"^webcam {number}: cannot be opened .* connect it \(.*no{number}\)"):
        open_source(name)


def test_webcam_of_another_ffmpeg_format(monkeypatch: pytest.MonkeyPatch) -> None:
    """FFmpeg's test source stands in for the driver of a camera."""
    device = "testsrc=size=64x48:rate=20:duration=0.3"
    monkeypatch.setitem(video.WEBCAMS, sys.platform, ("lavfi", device + ",trim=start_frame={}"))
    source = open_source("2")
    frames, message = read(source)
    assert not message and (source.info.rate_fps, source.info.n_frames) == (20.0, None)
    assert [frame.pixels.shape for frame in frames] == [(48, 64, 3)] * 4
    assert [frame.time_s for frame in frames] == pytest.approx([0, 0.05, 0.1, 0.15])


class Camera:
    """A container that first has no frame, then yields some, and may be unplugged at the end."""

    def __init__(self, real: object, unplugged: bool) -> None:
        self.real, self.unplugged, self.n_decodes = real, unplugged, 0
        self.streams, self.format = real.streams, real.format  # type: ignore[attr-defined]

    def __enter__(self) -> Camera:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.real.close()  # type: ignore[attr-defined]

    def decode(self, stream: object):
        self.n_decodes += 1
        if self.n_decodes == 1:
            raise av.error.BlockingIOError(11, "Resource temporarily unavailable")
        yield from self.real.decode(stream)  # type: ignore[attr-defined]
        if self.unplugged:
            raise OSError(19, "No such device")


@pytest.mark.parametrize("unplugged", [False, True])
def test_webcam_that_pauses_or_is_unplugged(unplugged: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, open_container = write_video(tmp_path / "a.mkv", shades(4)), av.open
    monkeypatch.setattr(av, "open", lambda url, format, options: Camera(open_container(str(path)), unplugged))
    source = open_source("3", 30.0)
    assert (source.info.name, source.info.n_frames, source.info.has_audio) == ("webcam 3", None, False)
    frames, message = read(source)
    assert [frame.time_s for frame in frames] == pytest.approx([0, 0.04, 0.08, 0.12])
    assert message == ("webcam 3: No such device after 4 frames; connect it again" if unplugged else "")


def test_memory_does_not_grow_with_the_length_of_the_video(tmp_path: Path) -> None:
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
    """Return the memory of this process; 0 where the system does not report it."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


@pytest.fixture
def webp(tmp_path: Path) -> Path:
    path = tmp_path / "anim.webp"
    first, *others = [Image.new("RGB", (32, 16), (40 * k, 90, 200 - 30 * k)) for k in range(6)]
    durations = [40, 40, 100, 20, 40, 60]
    first.save(path, save_all=True, append_images=others, duration=durations, lossless=True)
    return path


def test_an_animated_webp_is_a_clip(webp):
    source = open_source(str(webp))
    frames = list(source.frames())
    assert source.info.n_frames == 6 and source.info.rate_fps == pytest.approx(20)
    np.testing.assert_allclose([frame.time_s for frame in frames], [0, 0.04, 0.08, 0.18, 0.2, 0.24])
    assert [tuple(frame.pixels[3, 3]) for frame in frames] == [(40 * k, 90, 200 - 30 * k) for k in range(6)]
    assert [frame.number for frame in source.frames(every=4)] == [0, 4]


def test_a_cut_off_webp_yields_its_frames_then_an_error_or_ends(webp):
    data = webp.read_bytes()
    for keep in range(12, len(data), 23):
        webp.write_bytes(data[:keep])
        try:
            n_frames = sum(1 for _ in open_source(str(webp)).frames())
            assert n_frames <= 6
        except Smirk3dError as error:
            assert "anim.webp" in str(error) and ";" in str(error)


def test_other_files_are_no_animated_webp(tmp_path):
    Image.new("RGB", (32, 16)).save(tmp_path / "still.webp")
    (tmp_path / "short.webp").write_bytes(b"RIFF")
    os.mkfifo(tmp_path / "pipe.webp")
    for name in ("still.webp", "short.webp", "pipe.webp", "missing.webp", "."):
        assert frame_durations_s(tmp_path / name) is None


def test_times_that_no_camera_has_are_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "fast.mp4", shades(6))
    content = bytearray(path.read_bytes())
    place = content.index(b"mdhd") + 16  # ticks a second
    content[place : place + 4] = b"\x7f\xff\xff\xff"
    path.write_bytes(content)
    with pytest.raises(Smirk3dError, match=r"fast\.mp4: its times say .* frames a second"):
        VideoFile(path)
