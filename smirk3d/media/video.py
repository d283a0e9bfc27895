"""Frames of video files, folders of pictures and webcams, upright and with the times at which they are shown.

Damage is no reason to lose what was readable: frames come until the damage, then the reader says what is wrong.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from smirk3d.assets import printable
from smirk3d.errors import Smirk3dError
from smirk3d.media.images import IMAGE_SUFFIXES, read_image

VIDEO_SUFFIXES: tuple[str, ...] = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".wmv")
DEFAULT_RATE_FPS = 25.0
"""Of pictures in a folder, and of files that do not say."""
WEBCAMS = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}"), "win32": ("dshow", "video={}")}
"""By platform: the format that FFmpeg reads webcams as, and their names by number."""
FORMATS_WITH_DURATION = frozenset({"mov", "mp4", "matroska", "webm", "avi"})
"""Formats that say how long they are; of others FFmpeg estimates it."""
TEXT_FORMAT = "tty"
"""What FFmpeg takes text files for: it draws them."""
DURATION_TOLERANCE_S = 0.05
"""A file may end so much, or two frames, earlier than it says."""
CLOCK_RESET_S = 1.0
"""Time stamps that go back by more belong to another recording."""
WEBCAM_POLL_S = 0.005


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame of a video.

    Attributes:
        number: Its place among all frames, from 0.
        time_s: When it is shown, in seconds from the first frame; later than the frame before it.
        pixels: (H, W, 3) uint8 RGB, upright.
    """

    number: int
    time_s: float
    pixels: np.ndarray


@dataclass(frozen=True)
class VideoInfo:
    """What a source says of itself before it is read.

    Attributes:
        name: As messages call it.
        rate_fps: Nominal frames a second.
        n_frames: How many are expected; None where nobody knows.
        has_audio: Whether there is sound.
    """

    name: str
    rate_fps: float
    n_frames: int | None
    has_audio: bool = False


class FrameSource(Protocol):
    """Somewhere frames come from."""

    @property
    def info(self) -> VideoInfo:
        """What is known beforehand."""
        ...

    def frames(self, every: int = 1) -> Iterator[Frame]:
        """Yield every k-th frame from the start.

        Raises:
            Smirk3dError: The source is damaged or ends early; the frames up to there have been yielded.
        """
        ...


class VideoFile:
    """A file that FFmpeg reads.

    Frames are stretched where the file says that its pixels are not square; those that differ in size, as some
    recordings of calls have them, get the size of the first.

    Raises:
        Smirk3dError: It cannot be opened, or has no pictures.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with _open_file(path) as container:
            stream = _picture_stream(container)
            rate_fps = float(stream.average_rate or stream.guessed_rate or DEFAULT_RATE_FPS)
            self.info = VideoInfo(printable(path), rate_fps, stream.frames or None, bool(container.streams.audio))

    def frames(self, every: int = 1) -> Iterator[Frame]:
        """See `FrameSource.frames`."""
        decoded = 0
        try:
            with _open_file(self.path) as container:
                reading, upright = _PictureReader(container), _FrameConverter(_picture_stream(container))
                for decoded, (frame, time_s) in enumerate(_with_times(reading.frames(), self.info.rate_fps), start=1):
                    if (decoded - 1) % every == 0:
                        yield Frame(decoded - 1, time_s, upright(frame))
        except (pyav().FFmpegError, OSError, ValueError) as error:
            raise Smirk3dError(
                f"{self.info.name}: {error_text(error)} after {decoded} frames; copy it again"
            ) from error
        if reading.missing_s > max(DURATION_TOLERANCE_S, 2 / self.info.rate_fps):
            raise Smirk3dError(
                f"{self.info.name}: ends at {reading.reached_s:.1f} of {reading.promised_s:.1f} s, "
                f"after {decoded} frames; copy it again"
            )

    def start_s(self) -> float:
        """Return what the clock of the file, and of its sound, shows at the first frame, in seconds.

        Raises:
            Smirk3dError: As for `frames`.
        """
        try:
            with _open_file(self.path) as container:
                first = next(iter(_PictureReader(container).frames()), None)
        except (pyav().FFmpegError, OSError, ValueError) as error:
            raise Smirk3dError(f"{self.info.name}: {error_text(error)}; copy it again") from error
        return first.time if first is not None and first.time is not None else 0.0


class FrameFolder:
    """A folder of pictures, in the order of the numbers in their names.

    Args:
        path: The folder; only pictures directly in it count. rate_fps: Frames a second.

    Raises:
        Smirk3dError: There are no pictures, or it cannot be listed.
    """

    def __init__(self, path: Path, rate_fps: float | None = None) -> None:
        try:
            found = [each for each in path.iterdir() if each.suffix.lower() in IMAGE_SUFFIXES and not each.is_dir()]
        except OSError as error:
            raise Smirk3dError(f"{printable(path)}: {error_text(error)}; check its permissions") from error
        self._pictures = sorted((each for each in found if not each.name.startswith(".")), key=_natural_sort_key)
        if not self._pictures:
            raise Smirk3dError(f"{printable(path)}: no pictures in it; name a video or a folder of frames")
        self.info = VideoInfo(printable(path), rate_fps or DEFAULT_RATE_FPS, len(self._pictures))

    def frames(self, every: int = 1) -> Iterator[Frame]:
        """See `FrameSource.frames`; all pictures must have the size of the first."""
        size = None
        for number, path in enumerate(self._pictures):
            if number % every:
                continue
            place = f"after {number} of {len(self._pictures)} frames"
            try:
                photo = read_image(path)
            except Smirk3dError as error:
                raise Smirk3dError(f"{error} ({place})") from error
            size = size or photo.size
            if photo.size != size:
                raise Smirk3dError(
                    f"{printable(path)}: is {photo.size[0]}x{photo.size[1]}, the frames before are "
                    f"{size[0]}x{size[1]} ({place}); give all frames one size"
                )
            yield Frame(number, number / self.info.rate_fps, photo.pixels)


class Webcam:
    """A camera of this machine, until it is stopped.

    Times are the camera's own, which tell when a picture was taken, not when a busy machine came to read it.

    Raises:
        Smirk3dError: There is no such camera.
    """

    def __init__(self, index: int, rate_fps: float | None = None) -> None:
        self._kind, pattern = WEBCAMS.get(sys.platform, WEBCAMS["linux"])
        self._name, self._device = f"webcam {index}", pattern.format(index)
        self._options = {} if rate_fps is None else {"framerate": f"{rate_fps:g}"}
        with self._opened() as container:
            stream = _picture_stream(container)
            self.info = VideoInfo(self._name, float(stream.average_rate or DEFAULT_RATE_FPS), None)

    def frames(self, every: int = 1) -> Iterator[Frame]:
        """See `FrameSource.frames`."""
        seen = 0
        try:
            with self._opened() as container:
                upright = _FrameConverter(_picture_stream(container))
                for seen, (frame, time_s) in enumerate(
                    _with_times(_webcam_frames(container), self.info.rate_fps), start=1
                ):
                    if (seen - 1) % every == 0:
                        yield Frame(seen - 1, time_s, upright(frame))
        except (pyav().FFmpegError, OSError, ValueError) as error:
            raise Smirk3dError(f"{self._name}: {error_text(error)} after {seen} frames; connect it again") from error

    def _opened(self) -> Any:
        remedy = f"connect it ({self._device}), free it, or name another number or a video"
        return _open_container(self._device, self._name, remedy, self._kind, self._options)


def open_source(name: str, rate_fps: float | None = None) -> FrameSource:
    """Return what a name stands for: a video file, a folder of frames, or a webcam by its number ("-" is 0).

    Args:
        name: As the user wrote it. rate_fps: Frames a second, for what does not know it.

    Raises:
        Smirk3dError: There is no such thing, or it cannot be read.
    """
    if os.path.isdir(name):
        return FrameFolder(Path(name), rate_fps)
    number = webcam_number(name)
    return VideoFile(Path(name)) if number is None else Webcam(number, rate_fps)


def webcam_number(name: str) -> int | None:
    """Return which webcam a name stands for; None for files and folders, which may be called by a number too."""
    if name == "-":
        return 0
    return int(name) if re.fullmatch("[0-9]{1,4}", name) and not os.path.lexists(name) else None


def pyav() -> Any:
    """Return PyAV.

    Raises:
        Smirk3dError: It is not installed.
    """
    try:
        import av  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise Smirk3dError(f"videos need PyAV ({error}); pip install av") from error
    return av


def _open_file(path: Path) -> Any:
    remedy = "copy it again" if os.path.exists(path) else "check the path"
    remedy += ", or name another video, a folder of frames or the number of a webcam"
    # Without "file:", what is before a colon in a name would be taken for a protocol.
    return _open_container(f"file:{os.fspath(path)}", printable(path), remedy)


def _open_container(
    url: str, name: str, remedy: str, kind: str | None = None, options: dict[str, str] | None = None
) -> Any:
    """Return an open container with pictures in it."""
    av = pyav()
    try:
        container = av.open(url, format=kind, options=options or {})
    except (av.FFmpegError, OSError, ValueError) as error:
        raise Smirk3dError(f"{name}: cannot be opened as a video ({error_text(error)}); {remedy}") from error
    if container.format.name == TEXT_FORMAT or _picture_stream(container) is None:
        container.close()
        raise Smirk3dError(f"{name}: has no pictures; name a video")
    if _picture_stream(container).codec_context is None:
        container.close()
        raise Smirk3dError(f"{name}: its pictures are encoded in an unknown way; convert it to H.264")
    _picture_stream(container).thread_type = "AUTO"
    return container


def _picture_stream(container: Any) -> Any:
    """Return the stream of moving pictures, None if there is none; the cover of a song is not one."""
    cover = pyav().stream.Disposition.attached_pic
    return next((stream for stream in container.streams.video if not stream.disposition & cover), None)


class _PictureReader:
    """One pass over an open file.

    Attributes:
        promised_s: When the pictures end by the file's own account; 0 where it gives none, or a guess.
        reached_s: The end of what has been read.
    """

    def __init__(self, container: Any) -> None:
        self._container, stream = container, _picture_stream(container)
        self._stream, self._read = stream, [stream]
        self.promised_s = self.reached_s = 0.0
        if FORMATS_WITH_DURATION.isdisjoint(container.format.name.split(",")):
            return
        if stream.duration is not None:
            self.promised_s = float(((stream.start_time or 0) + stream.duration) * stream.time_base)
        elif container.duration is not None:
            # That of the longest stream, so all have to be looked at.
            self.promised_s = container.duration / pyav().time_base
            self._read = list(container.streams)

    @property
    def missing_s(self) -> float:
        """How much earlier than promised the file ended."""
        return self.promised_s - self.reached_s

    def frames(self) -> Iterator[Any]:
        """Yield decoded frames."""
        for packet in self._container.demux(*self._read):
            start = packet.dts if packet.pts is None else packet.pts
            if start is not None:
                end_s = float((start + (packet.duration or 0)) * packet.time_base)
                self.reached_s = max(self.reached_s, end_s)
            if packet.stream is self._stream:
                yield from packet.decode()


def _webcam_frames(container: Any) -> Iterator[Any]:
    """Yield the frames of a webcam; some drivers ask to come back later where others wait."""
    while True:
        try:
            yield from container.decode(_picture_stream(container))
            return
        except BlockingIOError:
            time.sleep(WEBCAM_POLL_S)


def _with_times(frames: Iterable[Any], rate_fps: float) -> Iterator[tuple[Any, float]]:
    """Yield frames with their times from the first.

    Those that have none follow at the rate. Those that are not later than the one before follow after half a frame, so
    that the next ones can keep their times; but far back, as where recordings are joined, the clock starts anew.
    """
    step_s = 1 / rate_fps
    start_s, last_s = None, -step_s
    for frame in frames:
        shown_s = frame.time
        if shown_s is None:
            last_s += step_s
        else:
            if start_s is None or shown_s - start_s < last_s - CLOCK_RESET_S:
                start_s = shown_s - (last_s + step_s)
            since_s = shown_s - start_s
            last_s = since_s if since_s > last_s else last_s + step_s / 2
        yield frame, last_s


class _FrameConverter:
    """Makes pixels (H, W, 3) uint8 RGB of a stream's frames, all of one size, with square pixels, upright."""

    def __init__(self, stream: Any) -> None:
        from av.video.reformatter import VideoReformatter  # pyright: ignore[reportMissingImports]

        # One for all frames, since setting it up takes longer than converting a frame.
        self._reformatter = VideoReformatter()
        self._aspect = float(stream.sample_aspect_ratio or 1)
        self._size: tuple[int, int] | None = None

    def __call__(self, frame: Any) -> np.ndarray:
        if self._size is None:
            self._size = max(1, round(frame.width * self._aspect)), frame.height
        width, height = self._size
        rgb = self._reformatter.reformat(frame, width=width, height=height, format="rgb24")
        # Whole quarter turns, anticlockwise, from the file's display matrix.
        return np.ascontiguousarray(np.rot90(rgb.to_ndarray(), round(frame.rotation / 90)))


def error_text(error: Exception) -> str:
    """Return what an error of FFmpeg or the system says, on one line and without file names."""
    return printable(" ".join((getattr(error, "strerror", None) or str(error)).split()))


def _natural_sort_key(path: Path) -> tuple[list[tuple[int, str]], str]:
    """Return what sorts frame 9 before frame 10."""
    parts = re.split(r"([0-9]+)", path.name)
    return [(int(part), "") if k % 2 else (-1, part) for k, part in enumerate(parts)], path.name
