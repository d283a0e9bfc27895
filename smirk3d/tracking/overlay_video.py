"""Overlay video: the second pass over a video draws the tracked heads over its frames and keeps its audio."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from smirk3d.errors import Smirk3dError
from smirk3d.media.video import Frame, FrameSource
from smirk3d.media.video_writer import Note, crop_to_even, write_frames
from smirk3d.networks.threads import shared_torch_threads
from smirk3d.track import Clip, Track
from smirk3d.tracking.prefetch import parallel_map, prefetch
from smirk3d.viz.overlay import over_photo

MAX_HEIGHT_PX, MAX_WIDTH_PX = 720, 1280
"""Larger frames are reduced, since the result shows two side by side."""


def write_overlay(
    clip: Clip,
    source: FrameSource,
    path: Path,
    *,
    advance: Callable[[], None] = lambda: None,
    note: Note = lambda _: None,
) -> None:
    """Write an MP4 (H.264) with the frames on the left and the meshes over them on the right.

    Frames keep their times. The audio of the source is copied, or transcoded where browsers would not play it.

    Args:
        clip: The tracks of the video.
        source: The same video, which is read again.
        path: The file to write.
        advance: Called after each frame.
        note: Called with a message where something is missing in the result.

    Raises:
        Smirk3dError: Writing failed, or no frame of the source can be read.
    """
    write_frames(
        prefetch(_overlay_frames(clip, source, note)),
        path,
        clip.rate_fps,
        sound=source,
        advance=advance,
        note=note,
        remedy="free space, or use --no-overlay",
    )


def _overlay_frames(clip: Clip, source: FrameSource, note: Note) -> Iterator[tuple[float, np.ndarray]]:
    """Yield the time in seconds and the side-by-side image of each frame of the clip."""

    def draw(frame: Frame) -> tuple[float, np.ndarray]:
        return frame.time_s, side_by_side(frame, clip.tracks)

    with (
        shared_torch_threads() as threads,
        closing(prefetch(_frames_of_clip(source, clip.n_frames, note))) as frames,
        closing(parallel_map(draw, frames, threads)) as drawn,
    ):
        yield from drawn


def _frames_of_clip(source: FrameSource, count: int, note: Note) -> Iterator[Frame]:
    """Yield the frames that the first pass has read; that pass has already reported damage after them."""
    n_read, reason = 0, f"{source.info.name}: has changed since it was read first"
    try:
        for frame in islice(source.frames(), count):
            n_read += 1
            yield frame
    except Smirk3dError as error:
        reason = str(error)
    if not n_read:
        raise Smirk3dError(reason)
    if n_read < count:
        note(f"{reason}; the overlay has {n_read} of {count} frames")


def side_by_side(frame: Frame, tracks: Sequence[Track]) -> np.ndarray:
    """Return a frame on the left and the meshes of tracks over it on the right.

    Args:
        frame: A frame of the clip.
        tracks: Tracks of the clip; those without values in this frame are not drawn.

    Returns:
        (H, 2 W, 3) uint8 RGB, both sides even, H and W at most `MAX_HEIGHT_PX` and `MAX_WIDTH_PX`.
    """
    pixels, drawn = frame.pixels, frame.pixels.copy()
    rows = [(track, frame.number - int(track.frame[0])) for track in tracks]
    present = [(track, row) for track, row in rows if 0 <= row < len(track) and track.known[row]]
    # Painter's algorithm: the nearest head last, so that it covers the others.
    for track, row in sorted(present, key=lambda pair: float(pair[0].scale_px_per_m[pair[1]])):
        _draw_head(track, row, drawn)
    return crop_to_even(np.concatenate([_downscale(pixels), _downscale(drawn)], axis=1))


def _draw_head(track: Track, row: int, pixels: np.ndarray) -> None:
    """Draw one head into (H, W, 3) uint8 pixels."""
    face = track.face(row)
    points_px = face.project(face.vertices)
    height, width = pixels.shape[:2]
    x0, y0 = np.floor(points_px.min(axis=0)).clip(0, (width, height)).astype(int)
    x1, y1 = np.ceil(points_px.max(axis=0)).clip(0, (width, height)).astype(int)
    if x1 - x0 > 1 and y1 - y0 > 1:
        # Only the part of the frame that the head covers: rendering takes time by the pixel.
        part = np.ascontiguousarray(pixels[y0:y1, x0:x1])
        pixels[y0:y1, x0:x1] = over_photo([face], part, (float(x0), float(y0), float(x1), float(y1)))


def _downscale(pixels: np.ndarray) -> np.ndarray:
    """Return pixels (H, W, 3) reduced to the largest size allowed."""
    height, width = pixels.shape[:2]
    factor = min(MAX_HEIGHT_PX / height, MAX_WIDTH_PX / width)
    if factor >= 1:
        return pixels
    size = (max(2, round(width * factor)), max(2, round(height * factor)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR, reducing_gap=1.5))
