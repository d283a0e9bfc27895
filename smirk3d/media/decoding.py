"""Decoding of video with FFmpeg through PyAV: containers, packets, time stamps and pixels."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from smirk3d.assets import printable
from smirk3d.errors import Smirk3dError

FORMATS_WITH_DURATION = frozenset({"mov", "mp4", "matroska", "webm", "avi"})
"""Formats that state their duration; for others FFmpeg estimates it."""
TEXT_FORMAT = "tty"
"""FFmpeg's format for text files, which it renders as images."""
CLOCK_RESET_S = 1.0
"""A time stamp that goes back by more belongs to the next of several joined recordings."""
WEBCAM_POLL_S = 0.005


def pyav() -> Any:
    """Return the module PyAV.

    Raises:
        Smirk3dError: It is not installed.
    """
    try:
        import av  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise Smirk3dError(f"videos need PyAV ({error}); pip install av") from error
    return av


def open_file(path: Path) -> Any:
    """Return the open container of a video file.

    Raises:
        Smirk3dError: As for `open_container`.
    """
    remedy = "copy it again" if os.path.exists(path) else "check the path"
    remedy += ", or name another video, a folder of frames or the number of a webcam"
    # Without "file:", FFmpeg would take the part of a name before a colon for a protocol.
    return open_container(f"file:{os.fspath(path)}", printable(path), remedy)


def open_container(
    url: str, name: str, remedy: str, kind: str | None = None, options: dict[str, str] | None = None
) -> Any:
    """Return an open container with a decodable video stream.

    Args:
        url: What FFmpeg opens.
        name: What messages call it.
        remedy: What the message of a failure advises.
        kind: FFmpeg's name of the format; found out by default.
        options: FFmpeg's options for the format.

    Raises:
        Smirk3dError: It cannot be opened, has no video stream, or is encoded in an unknown way.
    """
    av = pyav()
    try:
        container = av.open(url, format=kind, options=options or {})
    except (av.FFmpegError, OSError, ValueError) as error:
        raise Smirk3dError(f"{name}: cannot be opened as a video ({error_text(error)}); {remedy}") from error
    stream = video_stream(container)
    if container.format.name == TEXT_FORMAT or stream is None:
        container.close()
        raise Smirk3dError(f"{name}: has no pictures; name a video")
    if stream.codec_context is None:
        container.close()
        raise Smirk3dError(f"{name}: its pictures are encoded in an unknown way; convert it to H.264")
    stream.thread_type = "AUTO"
    return container


def video_stream(container: Any) -> Any:
    """Return the video stream of a container, None if there is none; the cover picture of a song is not one."""
    cover = pyav().stream.Disposition.attached_pic
    return next((stream for stream in container.streams.video if not stream.disposition & cover), None)


class FileDecoder:
    """Decodes the video stream of an open file once, and compares its length with what the file states.

    Attributes:
        stated_s: End of the video according to the file, in seconds; 0 where it states none or only an estimate.
        reached_s: End of what has been decoded so far, in seconds.

    Args:
        container: As of `open_file`.
    """

    def __init__(self, container: Any) -> None:
        self._container, stream = container, video_stream(container)
        self._stream, self._demuxed = stream, [stream]
        self.stated_s = self.reached_s = 0.0
        if FORMATS_WITH_DURATION.isdisjoint(container.format.name.split(",")):
            return
        if stream.duration is not None:
            self.stated_s = float(((stream.start_time or 0) + stream.duration) * stream.time_base)
        elif container.duration is not None:
            # This is the duration of the longest stream, so the packets of all streams have to be read.
            self.stated_s = container.duration / pyav().time_base
            self._demuxed = list(container.streams)

    @property
    def missing_s(self) -> float:
        """How much earlier than stated the file ended, in seconds."""
        return self.stated_s - self.reached_s

    def frames(self) -> Iterator[Any]:
        """Yield decoded PyAV frames."""
        for packet in self._container.demux(*self._demuxed):
            start = packet.dts if packet.pts is None else packet.pts
            if start is not None:
                end_s = float((start + (packet.duration or 0)) * packet.time_base)
                self.reached_s = max(self.reached_s, end_s)
            if packet.stream is self._stream:
                yield from packet.decode()


def webcam_frames(container: Any) -> Iterator[Any]:
    """Yield the PyAV frames of a webcam; where a driver does not block until the next one, it is polled."""
    while True:
        try:
            yield from container.decode(video_stream(container))
            return
        except BlockingIOError:
            time.sleep(WEBCAM_POLL_S)


def with_times(frames: Iterable[Any], rate_fps: float) -> Iterator[tuple[Any, float]]:
    """Yield frames with strictly increasing times in seconds from the first frame.

    A frame without a time stamp follows at the nominal rate. A frame that is not later than the one before follows it
    after half a frame, so that the frames after it can keep their times. Where the time stamps go back by more than
    `CLOCK_RESET_S`, as in joined recordings, they count from there on.

    Args:
        frames: PyAV frames.
        rate_fps: Nominal frames a second.
    """
    step_s = 1 / rate_fps
    start_s, last_s = None, -step_s
    for frame in frames:
        stamp_s = frame.time
        if stamp_s is None:
            last_s += step_s
        else:
            if start_s is None or stamp_s - start_s < last_s - CLOCK_RESET_S:
                start_s = stamp_s - (last_s + step_s)
            time_s = stamp_s - start_s
            last_s = time_s if time_s > last_s else last_s + step_s / 2
        yield frame, last_s


def error_text(error: Exception) -> str:
    """Return the message of an error of FFmpeg or the system, on one line and without file names."""
    return printable(" ".join((getattr(error, "strerror", None) or str(error)).split()))
