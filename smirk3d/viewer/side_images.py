"""The image beside a head: the photo with its overlay, or the frame of an overlay video at a time."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from smirk3d.assets import printable
from smirk3d.errors import Smirk3dError
from smirk3d.media.decoding import open_file, pyav, video_stream
from smirk3d.viz.overlay import MAX_SHOWN_FACES, PANEL_HEIGHT_PX

VIDEO_SUFFIX, PHOTO_SUFFIX = "_overlay.mp4", "_overlay.png"
MAX_WIDTH_PX = 720
"""Wider images are scaled down."""
MAX_PIXELS = 1 << 27
"""Larger images are not decoded."""
_MAX_DECODE_AHEAD_S = 1.0
"""Frames at most this far ahead are reached by decoding; others by a jump to the key frame before them."""
_PANELS_WIDTH_PX = 2 * (PANEL_HEIGHT_PX * 3 // 4)
"""Width of front view and weights of one face, at the right of an overlay image."""


class SideImages(Protocol):
    """Images by time."""

    def at(self, time_s: float) -> np.ndarray:
        """Return the image (H, W, 3) uint8 RGB at a time in seconds.

        Raises:
            Smirk3dError: It cannot be read.
        """
        ...

    def close(self) -> None:
        """Close the file."""
        ...


def overlay_beside(path: Path) -> Path | None:
    """Return the overlay of a result.

    Args:
        path: The result, such as `b.glb` or `b_0.glb`.

    Returns:
        `b_overlay.mp4` or `b_overlay.png` in the same folder; None where there is neither.
    """
    stems = dict.fromkeys((path.stem, path.stem.rpartition("_")[0] or path.stem))
    found = (path.with_name(stem + suffix) for stem in stems for suffix in (VIDEO_SUFFIX, PHOTO_SUFFIX))
    return next((each for each in found if each.is_file()), None)


def open_side_images(path: Path) -> SideImages:
    """Open an overlay.

    Args:
        path: The file.

    Raises:
        Smirk3dError: It cannot be read, or a video needs PyAV.
    """
    return Video(path) if path.name.endswith(VIDEO_SUFFIX) else Photo(path)


class Photo:
    """A still: the photo above the overlay of an overlay image."""

    def __init__(self, path: Path):
        from PIL import Image

        try:
            with Image.open(path, formats=("PNG",)) as image:
                _check_size(image.width, image.height)
                pixels = np.asarray(image.convert("RGB"))
        except Exception as error:  # Pillow raises many things about damaged files
            raise Smirk3dError(f"{printable(path)}: cannot be read as an image; delete it or make it again") from error
        self._pixels = _limit_width(_stack_panels(pixels, _face_count(path)))

    def at(self, time_s: float) -> np.ndarray:
        """Return the image (H, W, 3) uint8 RGB; it is the same at all times."""
        return self._pixels

    def close(self) -> None:
        """Do nothing; the file was read at once."""


def _check_size(width: int, height: int) -> None:
    if not 0 < width * height <= MAX_PIXELS:  # FFmpeg says 0 where frames are beyond its limit
        raise ValueError(f"{width} by {height} pixels, at most {MAX_PIXELS} together are read")


def _face_count(path: Path) -> int:
    stem = path.name.removesuffix(PHOTO_SUFFIX)
    numbers = {each.stem for each in path.parent.glob("*_*.*") if each.stem.rpartition("_")[0] == stem}
    return sum(f"{stem}_{k}" in numbers for k in range(MAX_SHOWN_FACES))


def _stack_panels(pixels: np.ndarray, n_faces: int) -> np.ndarray:
    """Return the photo above its overlay, without the panels that the viewer replaces; other images unchanged."""
    height, width = pixels.shape[:2]
    photos_width = width - n_faces * _PANELS_WIDTH_PX
    if height != PANEL_HEIGHT_PX or n_faces == 0 or photos_width < 16 or photos_width % 2:
        return pixels
    return np.concatenate([pixels[:, : photos_width // 2], pixels[:, photos_width // 2 : photos_width]])


def _limit_width(pixels: np.ndarray) -> np.ndarray:
    from PIL import Image

    height, width = pixels.shape[:2]
    if width <= MAX_WIDTH_PX:
        return np.ascontiguousarray(pixels)
    size = (MAX_WIDTH_PX, max(round(height * MAX_WIDTH_PX / width), 1))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0))


class Video:
    """Frames of a video file, decoded on demand."""

    def __init__(self, path: Path):
        self._path, self._lock = path, threading.Lock()
        self._av = pyav()
        try:
            self._container: Any = open_file(path)
            self._stream = video_stream(self._container)
            _check_size(self._stream.width, self._stream.height)
        except (Smirk3dError, ValueError) as error:
            raise Smirk3dError(f"{printable(path)}: cannot be read as a video; delete it or make it again") from error
        self._frames = self._container.decode(self._stream)
        self._current: Any | None = None
        self._next: Any | None = None

    def at(self, time_s: float) -> np.ndarray:
        """Return the frame (H, W, 3) uint8 RGB at a time in seconds: the last one that has begun, or the first."""
        with self._lock:
            try:
                return self._decode_at(time_s)
            except (self._av.FFmpegError, OSError, ValueError) as error:
                raise Smirk3dError(f"{printable(self._path)}: is damaged at {time_s:.2f} s; make it again") from error

    def _decode_at(self, time_s: float) -> np.ndarray:
        if self._current is None or not -1e-3 <= time_s - self._current.time <= _MAX_DECODE_AHEAD_S:
            self._seek(time_s)
        while self._next and self._next.time <= time_s + 1e-3:
            self._advance()
        if self._current is None:
            raise ValueError("no frames")
        return _limit_width(self._current.to_ndarray(format="rgb24"))

    def _seek(self, time_s: float) -> None:
        self._container.seek(max(int(time_s / self._stream.time_base), 0), stream=self._stream)
        self._frames = self._container.decode(self._stream)
        self._next = next(self._frames, None)
        self._advance()

    def _advance(self) -> None:
        self._current, self._next = self._next, next(self._frames, None)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._container.close()
