"""Frames of video files, folders of pictures and webcams, upright and with the times at which they are shown.

Damage is no reason to lose what was readable: frames come until the damage, then the reader says what is wrong.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from smirk3d.assets import printable
from smirk3d.errors import Smirk3dError
from smirk3d.pipeline.images import IMAGE_SUFFIXES, read_image

VIDEO_SUFFIXES: tuple[str, ...] = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".wmv")
USUAL_RATE_FPS = 25.0
"""Of pictures in a folder, and of files that do not say."""
WEBCAMS = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}"), "win32": ("dshow", "video={}")}
"""By platform: the format that FFmpeg reads webcams as, and their names by number."""


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

    Raises:
        Smirk3dError: It cannot be opened, or has no pictures.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with _opened(path) as container:
            self.info = _described(container, printable(path))

    def frames(self, every: int = 1) -> Iterator[Frame]:
        """See `FrameSource.frames`."""
        decoded = 0
        try:
            with _opened(self.path) as container:
                for decoded, frame in enumerate(_timed(container, self.info.rate_fps), start=1):
                    if (decoded - 1) % every == 0:
                        yield Frame(decoded - 1, frame[1], _upright(frame[0]))
        except (pyav().FFmpegError, OSError, ValueError) as error:
            reason = " ".join((getattr(error, "strerror", None) or str(error)).split())
            raise Smirk3dError(
                f"{self.info.name}: {printable(reason)} after {decoded} frames; copy it again"
            ) from error
        if self.info.n_frames is not None and decoded < self.info.n_frames:
            raise Smirk3dError(f"{self.info.name}: ends after {decoded} of {self.info.n_frames} frames; copy it again")


class FrameFolder:
    """A folder of pictures, in the order of the numbers in their names.

    Args:
        path: The folder; only pictures directly in it count. rate_fps: Frames a second.

    Raises:
        Smirk3dError: There are no pictures.
    """

    def __init__(self, path: Path, rate_fps: float | None = None) -> None:
        found = (each for each in path.iterdir() if each.suffix.lower() in IMAGE_SUFFIXES)
        self._pictures = sorted((each for each in found if not each.name.startswith(".")), key=_natural)
        if not self._pictures:
            raise Smirk3dError(f"{printable(path)}: no pictures in it; name a video or a folder of frames")
        self.info = VideoInfo(printable(path), rate_fps or USUAL_RATE_FPS, len(self._pictures))

    def frames(self, every: int = 1) -> Iterator[Frame]:
        """See `FrameSource.frames`; all pictures must have the size of the first."""
        size = None
        for number, path in enumerate(self._pictures):
            if number % every:
                continue
            photo = read_image(path)
            size = size or photo.size
            if photo.size != size:
                raise Smirk3dError(
                    f"{printable(path)}: is {photo.size[0]}x{photo.size[1]}, the frames before are "
                    f"{size[0]}x{size[1]}; give all frames one size"
                )
            yield Frame(number, number / self.info.rate_fps, photo.pixels)


class Webcam:
    """A camera of this machine, until it is stopped; times are those of the clock.

    Raises:
        Smirk3dError: There is no such camera.
    """

    def __init__(self, index: int, rate_fps: float | None = None) -> None:
        kind, pattern = WEBCAMS.get(sys.platform, WEBCAMS["linux"])
        self._format, self._device = kind, pattern.format(index)
        self._options = {} if rate_fps is None else {"framerate": str(rate_fps)}
        with _opened(Path(self._device), self._format, self._options) as container:
            described = _described(container, f"webcam {index}")
        self.info = VideoInfo(described.name, described.rate_fps, None)

    def frames(self, every: int = 1) -> Iterator[Frame]:
        """See `FrameSource.frames`."""
        started_s = time.monotonic()
        with _opened(Path(self._device), self._format, self._options) as container:
            for number, frame in enumerate(container.decode(video=0)):
                if number % every == 0:
                    yield Frame(number, time.monotonic() - started_s, _upright(frame))


def open_source(name: str, rate_fps: float | None = None) -> FrameSource:
    """Return what a name stands for: a video file, a folder of frames, or a webcam by its number ("-" is 0).

    Args:
        name: As the user wrote it. rate_fps: Frames a second, for what does not know it.

    Raises:
        Smirk3dError: There is no such thing, or it cannot be read.
    """
    path = Path(name)
    if path.is_dir():
        return FrameFolder(path, rate_fps)
    if name == "-" or (name.isdigit() and not path.exists()):
        return Webcam(0 if name == "-" else int(name), rate_fps)
    return VideoFile(path)


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


def _opened(path: Path, kind: str | None = None, options: dict[str, str] | None = None) -> Any:
    """Return an open container with pictures in it."""
    av = pyav()
    try:
        container = av.open(os.fspath(path), format=kind, options=options or {})
    except (av.FFmpegError, OSError, ValueError) as error:
        raise Smirk3dError(
            f"{printable(path)}: cannot be opened as a video ({_reason(error)}); copy it again, or name another video, "
            "a folder of frames or the number of a webcam"
        ) from error
    if not container.streams.video:
        container.close()
        raise Smirk3dError(f"{printable(path)}: has no pictures; name a video")
    container.streams.video[0].thread_type = "AUTO"
    return container


def _described(container: Any, name: str) -> VideoInfo:
    stream = container.streams.video[0]
    rate = float(stream.average_rate or stream.guessed_rate or USUAL_RATE_FPS)
    return VideoInfo(name, rate, stream.frames or None, bool(container.streams.audio))


def _timed(container: Any, rate_fps: float) -> Iterator[tuple[Any, float]]:
    """Yield frames with their times from the first; those that have none, or an earlier one, follow at the rate."""
    step_s = 1 / rate_fps
    start_s, last_s = None, -step_s
    for frame in container.decode(video=0):
        shown_s = frame.time
        if shown_s is not None and start_s is None:
            start_s = shown_s - (last_s + step_s)
        since_s = last_s if shown_s is None or start_s is None else shown_s - start_s
        last_s = since_s if since_s > last_s else last_s + step_s
        yield frame, last_s


def _upright(frame: Any) -> np.ndarray:
    # Whole quarter turns, anticlockwise, from the file's display matrix.
    turns = round(frame.rotation / 90)
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), turns))


def _reason(error: Exception) -> str:
    return printable(" ".join((getattr(error, "strerror", None) or str(error)).split()))


def _natural(path: Path) -> list[tuple[int, str]]:
    """Return what sorts frame 9 before frame 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.name)]
