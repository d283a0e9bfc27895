"""Decoding of video with FFmpeg through PyAV: containers, packets, time stamps and pixels."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable, Iterator
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

from smirk3d.assets import printable
from smirk3d.errors import Smirk3dError
from smirk3d.media.urls import is_url

MAX_FRAME_PIXELS = 8192 * 4352
"""Larger frames are refused: the limit of H.264, H.265 and AV1 at level 6.2. A small file can claim any size."""
MAX_PIXEL_ASPECT = 4.0
"""Pixels whose sides differ by more are refused; anamorphic lenses and tapes need 2 at most."""
TEXT_FORMAT = "tty"
"""FFmpeg's format for text files, which it renders as images."""
CLOCK_RESET_S = 1.0
"""A time stamp that goes back by more belongs to the next of several joined recordings."""
WEBCAM_POLL_S = 0.005
DEFAULT_RATE_FPS = 25.0
"""Frame rate of folders of images, and of files that state none."""
MAX_COMMON_RATE_FPS = 120.0
"""A larger rate may be the resolution of the time stamps, so it is compared with the frames."""
RATE_TOLERANCE = 0.1
"""Largest relative difference between a rate that is stated and the rate of the frames."""
N_MEASURED = 1000
"""Number of packets from which a rate is measured."""
MAX_STEP_RATIO = 5.0
"""A step between frames that is so many times the median is a pause."""


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


def open_file(path: Path, n_threads: int = 0) -> Any:
    """Return the open container of a video file.

    Args:
        path: The file.
        n_threads: Number of threads that decode; 0 for as many as FFmpeg chooses.

    Raises:
        Smirk3dError: It is no regular file, or its frames are too large; also as for `open_container`.
    """
    name = printable(path)
    _check_regular(path, name)
    if is_url(path):
        raise Smirk3dError(f"{name}: is a URL; download it first, and name the file")
    remedy = "copy it again" if os.path.exists(path) else "check the path"
    remedy += ", or name another video, a folder of frames or the number of a webcam"
    # Without "file:", FFmpeg would take the part of a name before a colon for a protocol.
    container = open_container(f"file:{os.fspath(path)}", name, remedy)
    try:
        _check_frame_size(container, name)
    except Smirk3dError:
        container.close()
        raise
    if n_threads:
        video_stream(container).codec_context.thread_count = n_threads
    return container


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
        # The limit holds for the decoders, too, also while the container is examined and where the size changes later.
        container = av.open(url, format=kind, options=(options or {}) | {"max_pixels": str(MAX_FRAME_PIXELS)})
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
    stream.codec_context.options = {"max_pixels": str(MAX_FRAME_PIXELS)}
    return container


def _check_regular(path: Path, name: str) -> None:
    """Raise for pipes and devices before they are opened, which would block; others are left to FFmpeg."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise Smirk3dError(f"{name}: is not a regular file; save the video to one first")


def _check_frame_size(container: Any, name: str) -> None:
    """Raise for frames that are too large, before any is decoded."""
    stream = video_stream(container)
    aspect = float(stream.sample_aspect_ratio or 1)
    if not 1 / MAX_PIXEL_ASPECT <= aspect <= MAX_PIXEL_ASPECT:
        raise Smirk3dError(f"{name}: its pixels have the aspect ratio {aspect:.3g}; convert it to square pixels")
    if stream.width * max(1.0, aspect) * stream.height > MAX_FRAME_PIXELS:
        size = f"{round(stream.width * aspect)}x{stream.height}"
        limit = f"{MAX_FRAME_PIXELS // 10**6} megapixels"
        raise Smirk3dError(f"{name}: its frames are {size} pixels, more than {limit}; make them smaller first")


def video_stream(container: Any) -> Any:
    """Return the video stream of a container, None if there is none; the cover picture of a song is not one."""
    cover = pyav().stream.Disposition.attached_pic
    return next((stream for stream in container.streams.video if not stream.disposition & cover), None)


def nominal_rate_fps(container: Any) -> float:
    """Return the frame rate of a file in 1/s: what it states, unless it states none or its frames differ from that.

    Args:
        container: As of `open_file`; packets may be read from it.
    """
    stream = video_stream(container)
    stated = float(stream.average_rate or 0)
    if 0 < stated <= MAX_COMMON_RATE_FPS:
        return stated
    packets = islice(container.demux(stream), N_MEASURED)
    stamps = [packet.dts if packet.pts is None else packet.pts for packet in packets if packet.size]
    measured = _measured_rate([float(stamp * stream.time_base) for stamp in stamps if stamp is not None])
    guessed = stated or float(stream.guessed_rate or 0)
    if measured is None:
        return stated or (guessed if 0 < guessed <= MAX_COMMON_RATE_FPS else DEFAULT_RATE_FPS)
    return guessed if abs(guessed / measured - 1) <= RATE_TOLERANCE else measured


def _measured_rate(stamps_s: list[float]) -> float | None:
    """Return the mean rate in 1/s of frames at these times in seconds, pauses excluded; None for too few frames."""
    steps_s = [after - before for before, after in pairwise(sorted(stamps_s)) if after > before]
    if not steps_s:
        return None
    usual_s = [step_s for step_s in steps_s if step_s <= MAX_STEP_RATIO * sorted(steps_s)[len(steps_s) // 2]]
    return len(usual_s) / sum(usual_s)


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
