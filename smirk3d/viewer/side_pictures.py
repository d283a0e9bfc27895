"""The picture beside a head: the photo with its overlay, or the frame of a video that belongs to a time."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from smirk3d.assets import printable
from smirk3d.errors import Smirk3dError
from smirk3d.viz.overlay import PANEL_HEIGHT_PX, MAX_SHOWN_FACES

VIDEO_ENDING, PHOTO_ENDING = "_overlay.mp4", "_overlay.png"
WIDTH_PX = 720
"""Pictures are not shown wider than this."""
_SEEK_S = 1.0
"""Frames that are this much ahead are reached by decoding on; others by a jump to the key frame before them."""
_PANELS_WIDTH_PX = 2 * (PANEL_HEIGHT_PX * 3 // 4)
"""Of a face's front view and weights at the right of an overlay picture."""


class Pictures(Protocol):
    """Pictures by time."""

    def at(self, time_s: float) -> np.ndarray:
        """Return the picture (H, W, 3) uint8 that is shown at a time.

        Raises:
            Smirk3dError: It cannot be read.
        """
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


def picture_beside(path: Path) -> Path | None:
    """Return the overlay that belongs to a result, `b_overlay.png` or `.mp4` beside `b.glb` or `b_0.glb`, or None."""
    stems = dict.fromkeys((path.stem, path.stem.rpartition("_")[0] or path.stem))
    found = (path.with_name(stem + ending) for stem in stems for ending in (VIDEO_ENDING, PHOTO_ENDING))
    return next((each for each in found if each.is_file()), None)


def open_pictures(path: Path) -> Pictures:
    """Open an overlay.

    Raises:
        Smirk3dError: It cannot be read, or a video needs PyAV.
    """
    return Video(path) if path.name.endswith(VIDEO_ENDING) else Photo(path)


class Photo:
    """One picture: photo and overlay of an overlay picture, one above the other."""

    def __init__(self, path: Path):
        from PIL import Image

        try:
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("RGB"))
        except OSError as error:
            raise Smirk3dError(f"{printable(path)}: cannot be read as a picture; delete it or make it again") from error
        self._pixels = _narrow(_stacked(pixels, _faces_of(path)))

    def at(self, time_s: float) -> np.ndarray:
        """Return the picture (H, W, 3) uint8; it is the same at all times."""
        return self._pixels

    def close(self) -> None:
        """Do nothing: the file has been read."""


def _faces_of(path: Path) -> int:
    stem = path.name.removesuffix(PHOTO_ENDING)
    numbers = {each.stem for each in path.parent.glob("*_*.*") if each.stem.rpartition("_")[0] == stem}
    return sum(f"{stem}_{k}" in numbers for k in range(MAX_SHOWN_FACES))


def _stacked(pixels: np.ndarray, n_faces: int) -> np.ndarray:
    """Return the photo above its overlay, without the panels that the viewer shows itself; others as they are."""
    height, width = pixels.shape[:2]
    rest = width - n_faces * _PANELS_WIDTH_PX
    if height != PANEL_HEIGHT_PX or n_faces == 0 or rest < 16 or rest % 2:
        return pixels
    return np.concatenate([pixels[:, : rest // 2], pixels[:, rest // 2 : rest]])


def _narrow(pixels: np.ndarray) -> np.ndarray:
    from PIL import Image

    height, width = pixels.shape[:2]
    if width <= WIDTH_PX:
        return np.ascontiguousarray(pixels)
    size = (WIDTH_PX, max(round(height * WIDTH_PX / width), 1))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0))


class Video:
    """Frames of a file, decoded when they are asked for."""

    def __init__(self, path: Path):
        self._path, self._lock = path, threading.Lock()
        self._av = _pyav()
        try:
            self._container: Any = self._av.open(os.fspath(path))
            self._stream = self._container.streams.video[0]
        except (self._av.FFmpegError, OSError, IndexError) as error:
            raise Smirk3dError(f"{printable(path)}: cannot be read as a video; delete it or make it again") from error
        self._frames = self._container.decode(self._stream)
        self._shown: Any | None = None
        self._next: Any | None = None

    def at(self, time_s: float) -> np.ndarray:
        """Return the last frame (H, W, 3) uint8 that begins before a time; the first before, the last after all."""
        with self._lock:
            try:
                return self._decoded(time_s)
            except (self._av.FFmpegError, OSError, ValueError) as error:
                raise Smirk3dError(f"{printable(self._path)}: is damaged at {time_s:.2f} s; make it again") from error

    def _decoded(self, time_s: float) -> np.ndarray:
        if self._shown is None or not -1e-3 <= time_s - self._shown.time <= _SEEK_S:
            self._jump(time_s)
        while self._next and self._next.time <= time_s + 1e-3:
            self._step()
        if self._shown is None:
            raise ValueError("no frames")
        return _narrow(self._shown.to_ndarray(format="rgb24"))

    def _jump(self, time_s: float) -> None:
        self._container.seek(max(int(time_s / self._stream.time_base), 0), stream=self._stream)
        self._frames = self._container.decode(self._stream)
        self._next = next(self._frames, None)
        self._step()

    def _step(self) -> None:
        self._shown, self._next = self._next, next(self._frames, None)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._container.close()


def _pyav() -> Any:
    try:
        import av  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise Smirk3dError(f"videos need PyAV ({error}); pip install av") from error
    return av
