"""The second pass over a video: what was found, drawn over it, with the sound of the source."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from smirk3d.assets import atomic_path, printable
from smirk3d.errors import Smirk3dError
from smirk3d.media.audio import TAIL_S, AudioWriter
from smirk3d.media.decoding import error_text, pyav
from smirk3d.media.video import Frame, FrameSource, VideoFile
from smirk3d.track import Clip, Track
from smirk3d.tracking.prefetch import prefetch
from smirk3d.viz.overlay import over_photo

MAX_HEIGHT_PX, MAX_WIDTH_PX = 720, 1280
"""Larger frames are made smaller, since two stand side by side."""
TICKS_PER_S = 90_000
ENCODING = {"crf": "20", "preset": "veryfast", "bf": "0"}
"""No frames that depend on later ones: with uneven times, those make the file say that it ends too early."""
SMPTE_170M = 6
"""How the pixels are turned into luma and chroma, in FFmpeg's numbers; players guess otherwise for large frames."""

Note = Callable[[str], None]


def write_overlay(
    clip: Clip,
    source: FrameSource,
    path: Path,
    *,
    advance: Callable[[], None] = lambda: None,
    note: Note = lambda _: None,
) -> None:
    """Write an MP4 with the frames on the left and the meshes over them on the right.

    Frames keep their times. The sound of the source is copied, or encoded anew where browsers would not play it.

    Args:
        clip: What was found. source: The same video, which is read again. path: The result.
        advance: Called after each frame. note: Told what is missing in the result.

    Raises:
        Smirk3dError: Writing failed, or nothing of the source can be read.
    """
    av = pyav()
    with atomic_path(path) as temporary:
        try:
            with av.open(f"file:{temporary}", "w", format="mp4") as container:
                _write(clip, source, container, advance, note)
        except (av.FFmpegError, OSError, ValueError) as error:
            raise Smirk3dError(
                f"{printable(path)}: cannot be written ({error_text(error)}); free space, or use --no-overlay"
            ) from error


def _write(clip: Clip, source: FrameSource, container: Any, advance: Callable[[], None], note: Note) -> None:
    av = pyav()
    with ExitStack() as stack:
        drawn = stack.enter_context(closing(prefetch(_overlay_frames(clip, source, note))))
        stream, sound, time_s = None, None, 0.0
        for time_s, pixels in drawn:
            if stream is None:
                stream = _video_stream(container, pixels, clip.rate_fps)
                if isinstance(source, VideoFile) and source.info.has_audio:
                    sound = stack.enter_context(closing(AudioWriter(source, container, note)))
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = round(time_s * TICKS_PER_S), Fraction(1, TICKS_PER_S)
            container.mux(stream.encode(frame))
            if sound is not None:
                sound.write(time_s)
            advance()
        if stream is not None:
            container.mux(stream.encode())
        if sound is not None:
            sound.write(time_s + TAIL_S)


def _video_stream(container: Any, pixels: np.ndarray, rate_fps: float) -> Any:
    stream = container.add_stream("libx264", rate=Fraction(rate_fps).limit_denominator(100_000), options=ENCODING)
    stream.height, stream.width = pixels.shape[:2]
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = Fraction(1, TICKS_PER_S)
    stream.codec_context.colorspace = SMPTE_170M
    return stream


def _overlay_frames(clip: Clip, source: FrameSource, note: Note) -> Iterator[tuple[float, np.ndarray]]:
    """Yield the time and the picture of each frame of the clip."""
    with closing(prefetch(_frames_of_clip(source, clip.n_frames, note))) as frames:
        for frame in frames:
            yield frame.time_s, side_by_side(frame, clip.tracks)


def _frames_of_clip(source: FrameSource, count: int, note: Note) -> Iterator[Frame]:
    """Yield the frames that the first pass has read; what is damaged behind them has been told then."""
    read, reason = 0, f"{source.info.name}: has changed since it was read first"
    try:
        for frame in islice(source.frames(), count):
            read += 1
            yield frame
    except Smirk3dError as error:
        reason = str(error)
    if not read:
        raise Smirk3dError(reason)
    if read < count:
        note(f"{reason}; the overlay has {read} of {count} frames")


def side_by_side(frame: Frame, tracks: Sequence[Track]) -> np.ndarray:
    """Return a frame beside itself with the meshes of tracks over it: (H, 2 W, 3) uint8, H and W even."""
    pixels, drawn = frame.pixels, frame.pixels.copy()
    rows = [(track, frame.number - int(track.frame[0])) for track in tracks]
    there = [(track, row) for track, row in rows if 0 <= row < len(track) and track.known[row]]
    # The nearest face last, so that it covers the others.
    for track, row in sorted(there, key=lambda pair: float(pair[0].scale_px_per_m[pair[1]])):
        _draw_head(track, row, drawn)
    return _crop_to_even(np.concatenate([_downscale(pixels), _downscale(drawn)], axis=1))


def _draw_head(track: Track, row: int, pixels: np.ndarray) -> None:
    """Draw one head into (H, W, 3) uint8 pixels."""
    face = track.face(row)
    seen = face.project(face.vertices)
    height, width = pixels.shape[:2]
    x0, y0 = np.floor(seen.min(axis=0)).clip(0, (width, height)).astype(int)
    x1, y1 = np.ceil(seen.max(axis=0)).clip(0, (width, height)).astype(int)
    if x1 - x0 > 1 and y1 - y0 > 1:
        part = np.ascontiguousarray(pixels[y0:y1, x0:x1])
        pixels[y0:y1, x0:x1] = over_photo([face], part, (float(x0), float(y0), float(x1), float(y1)))


def _downscale(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    factor = min(MAX_HEIGHT_PX / height, MAX_WIDTH_PX / width)
    if factor >= 1:
        return pixels
    size = (max(2, round(width * factor)), max(2, round(height * factor)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR, reducing_gap=1.5))


def _crop_to_even(pixels: np.ndarray) -> np.ndarray:
    """Return pixels without the last row or column where their number is odd, which H.264 cannot hold."""
    height, width = (n // 2 * 2 for n in pixels.shape[:2])
    return np.ascontiguousarray(pixels[:height, :width])
