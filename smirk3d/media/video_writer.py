"""Writing of MP4 videos (H.264) with the audio of another video."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack, closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from smirk3d.assets import atomic_path, printable
from smirk3d.errors import Smirk3dError
from smirk3d.media.audio import TAIL_S, AudioWriter
from smirk3d.media.decoding import error_text, pyav
from smirk3d.media.video import FrameSource, VideoFile

TICKS_PER_S = 90_000
"""Clock of the written file: fine enough for the time stamps of any video."""
ENCODING = {"crf": "20", "preset": "veryfast", "bf": "0"}
"""No B-frames: with uneven times they make the file state an end that is too early."""
SMPTE_170M = 6
"""FFmpeg's number of the colour matrix that is used; where a file states none, players guess from the frame size."""

Note = Callable[[str], None]


def write_frames(
    frames: Generator[tuple[float, np.ndarray]],
    path: Path,
    rate_fps: float,
    *,
    sound: FrameSource | None = None,
    advance: Callable[[], None] = lambda: None,
    note: Note = lambda _: None,
    remedy: str = "free space, or choose another folder",
) -> None:
    """Write frames at their times, whole or not at all.

    Args:
        frames: Times in seconds from the first frame, and pixels (H, W, 3) uint8 of even sides; it is closed.
        path: The file to write.
        rate_fps: Nominal frames a second.
        sound: The video whose audio is copied, or transcoded where browsers would not play it.
        advance: Called after each frame.
        note: Called with a message where audio is missing in the result.
        remedy: What to do where it cannot be written.

    Raises:
        Smirk3dError: Writing failed.
    """
    av = pyav()
    with atomic_path(path) as temporary:
        try:
            with av.open(f"file:{temporary}", "w", format="mp4") as container:
                _write(frames, container, rate_fps, sound, advance, note)
        except (av.FFmpegError, OSError, ValueError) as error:
            raise Smirk3dError(f"{printable(path)}: cannot be written ({error_text(error)}); {remedy}") from error


def _write(
    frames: Generator[tuple[float, np.ndarray]],
    container: Any,
    rate_fps: float,
    sound: FrameSource | None,
    advance: Callable[[], None],
    note: Note,
) -> None:
    av = pyav()
    with ExitStack() as stack:
        stack.enter_context(closing(frames))
        stream, audio, time_s = None, None, 0.0
        for time_s, pixels in frames:
            if stream is None:
                stream = _video_stream(container, pixels, rate_fps)
                if isinstance(sound, VideoFile) and sound.info.has_audio:
                    audio = stack.enter_context(closing(AudioWriter(sound, container, note)))
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = round(time_s * TICKS_PER_S), Fraction(1, TICKS_PER_S)
            container.mux(stream.encode(frame))
            if audio is not None:
                audio.write(time_s)
            advance()
        if stream is not None:
            container.mux(stream.encode())
        if audio is not None:
            audio.write(time_s + TAIL_S)


def _video_stream(container: Any, pixels: np.ndarray, rate_fps: float) -> Any:
    stream = container.add_stream("libx264", rate=Fraction(rate_fps).limit_denominator(100_000), options=ENCODING)
    stream.height, stream.width = pixels.shape[:2]
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = Fraction(1, TICKS_PER_S)
    stream.codec_context.colorspace = SMPTE_170M
    return stream


def crop_to_even(pixels: np.ndarray) -> np.ndarray:
    """Return pixels without the last row or column where their number is odd: 4:2:0 chroma needs even sizes."""
    height, width = (n // 2 * 2 for n in pixels.shape[:2])
    return np.ascontiguousarray(pixels[:height, :width])
