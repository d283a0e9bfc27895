"""Frame sources: video files, folders of images and webcams yield upright frames with their times.

A damaged source loses no readable frame: all frames that can be read come first, then an error describes the damage.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from smirk3d.assets import printable
from smirk3d.errors import Smirk3dError
from smirk3d.media.decoding import (
    DEFAULT_RATE_FPS,
    error_text,
    nominal_rate_fps,
    open_container,
    open_file,
    pyav,
    video_stream,
    webcam_frames,
    with_times,
)
from smirk3d.media.file_decoder import FileDecoder
from smirk3d.media.frame_converter import FrameConverter, PixelCoding
from smirk3d.media.images import IMAGE_SUFFIXES, animation_frames, read_image
from smirk3d.media.webp import frame_durations_s

VIDEO_SUFFIXES: tuple[str, ...] = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".wmv")
WEBCAMS = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}"), "win32": ("dshow", "video={}")}
"""By platform: FFmpeg's format for webcams, and the pattern of their names by number."""
DURATION_TOLERANCE_S = 0.05
"""A file may end by so much, or by two frames, before the end that it states."""
MAX_RATE_FPS = 20_000.0
"""Above the fastest cameras; a video with less time between its frames has a damaged time base."""


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame of a video.

    Attributes:
        number: Index among all frames of the source, from 0.
        time_s: When it is shown, in seconds from the first frame; later than the frame before it.
        pixels: (H, W, 3) uint8 RGB, upright.
    """

    number: int
    time_s: float
    pixels: np.ndarray


@dataclass(frozen=True)
class VideoInfo:
    """Properties of a source that are known before its frames are read.

    Attributes:
        name: What messages call the source.
        rate_fps: Nominal frames a second.
        n_frames: Expected number of frames; None where it is unknown.
        has_audio: Whether there is an audio stream.
    """

    name: str
    rate_fps: float
    n_frames: int | None
    has_audio: bool = False


class FrameSource(Protocol):
    """A source of frames, which can be read more than once unless it is a webcam."""

    @property
    def info(self) -> VideoInfo:
        """Properties that are known before the frames are read."""
        ...

    def frames(self, every: int = 1) -> Iterator[Frame]:
        """Yield every k-th frame, beginning with the first.

        Args:
            every: k, 1 for all frames.

        Raises:
            Smirk3dError: The source is damaged or ends early; all frames that can be read have been yielded.
        """
        ...


class VideoFile:
    """A video file that FFmpeg can read.

    Frames are resampled to square pixels where the file states another aspect ratio, and to the size of the first
    frame where the size changes, as in some recordings of video calls.

    Args:
        path: The file.

    Raises:
        Smirk3dError: It cannot be opened, has no video stream, or states times that no camera has.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with open_file(path) as container:
            stream = video_stream(container)
            n_frames, has_audio = stream.frames or None, bool(container.streams.audio)
            self._coding = PixelCoding.of_stream(stream)
            self.info = VideoInfo(printable(path), nominal_rate_fps(container), n_frames, has_audio)
        if self.info.rate_fps > MAX_RATE_FPS:
            raise Smirk3dError(
                f"{self.info.name}: its times say {self.info.rate_fps:.3g} frames a second; copy it again, or give it "
                "a rate with ffmpeg"
            )

    def frames(self, every: int = 1) -> Iterator[Frame]:
        """See `FrameSource.frames`."""
        n_decoded, decoder, convert = 0, FileDecoder(self.path), FrameConverter(self._coding)
        try:
            for n_decoded, (frame, time_s) in enumerate(with_times(decoder.frames(), self.info.rate_fps), start=1):
                if (n_decoded - 1) % every == 0:
                    yield Frame(n_decoded - 1, time_s, convert(frame))
        except (pyav().FFmpegError, OSError, ValueError) as error:
            raise Smirk3dError(
                f"{self.info.name}: {error_text(error)} after {n_decoded} frames; copy it again"
            ) from error
        self._raise_for_damage(decoder, n_decoded)

    def _raise_for_damage(self, decoder: FileDecoder, n_decoded: int) -> None:
        """Raise for what is missing of a file that has been decoded to its end."""
        if decoder.damage.n_damaged and not n_decoded:
            raise Smirk3dError(f"{self.info.name}: {decoder.damage.reason} after 0 frames; copy it again")
        faults = [str(decoder.damage)] if decoder.damage.n_damaged else []
        # A file that was cut off often decodes without an error up to its end.
        if decoder.missing_s > max(DURATION_TOLERANCE_S, 2 / self.info.rate_fps):
            faults.append(f"ends at {decoder.reached_s:.1f} of {decoder.stated_s:.1f} s, after {n_decoded} frames")
        if faults:
            raise Smirk3dError(f"{self.info.name}: {'; '.join(faults)}; copy it again")

    def start_s(self) -> float:
        """Return the time stamp of the first frame on the file's clock, which its audio shares, in seconds.

        Raises:
            Smirk3dError: As for `frames`.
        """
        try:
            first = next(iter(FileDecoder(self.path).frames()), None)
        except (pyav().FFmpegError, OSError, ValueError) as error:
            raise Smirk3dError(f"{self.info.name}: {error_text(error)}; copy it again") from error
        return first.time if first is not None and first.time is not None else 0.0


class FrameFolder:
    """A folder of images, in the order of the numbers in their names.

    Args:
        path: The folder; images in its subfolders are not read.
        rate_fps: Frames a second; `DEFAULT_RATE_FPS` by default.

    Raises:
        Smirk3dError: There are no images, or it cannot be listed.
    """

    def __init__(self, path: Path, rate_fps: float | None = None) -> None:
        try:
            found = [each for each in path.iterdir() if each.suffix.lower() in IMAGE_SUFFIXES and not each.is_dir()]
        except OSError as error:
            raise Smirk3dError(f"{printable(path)}: {error_text(error)}; check its permissions") from error
        self._images = sorted((each for each in found if not each.name.startswith(".")), key=_natural_sort_key)
        if not self._images:
            raise Smirk3dError(f"{printable(path)}: no pictures in it; name a video or a folder of frames")
        self.info = VideoInfo(printable(path), rate_fps or DEFAULT_RATE_FPS, len(self._images))

    def frames(self, every: int = 1) -> Iterator[Frame]:
        """See `FrameSource.frames`; all images must have the size of the first."""
        size = None
        for number, path in enumerate(self._images):
            if number % every:
                continue
            progress = f"after {number} of {len(self._images)} frames"
            try:
                photo = read_image(path)
            except Smirk3dError as error:
                raise Smirk3dError(f"{error} ({progress})") from error
            size = size or photo.size
            if photo.size != size:
                raise Smirk3dError(
                    f"{printable(path)}: is {photo.size[0]}x{photo.size[1]}, the frames before are "
                    f"{size[0]}x{size[1]} ({progress}); give all frames one size"
                )
            yield Frame(number, number / self.info.rate_fps, photo.pixels)


class AnimatedWebp:
    """An animated WebP file.

    Args:
        path: The file.
        durations_s: How long each frame is shown, see `frame_durations_s`.
    """

    def __init__(self, path: Path, durations_s: Sequence[float]) -> None:
        self._path, self._durations_s = path, durations_s
        self.info = VideoInfo(printable(path), len(durations_s) / sum(durations_s), len(durations_s))

    def frames(self, every: int = 1) -> Iterator[Frame]:
        """See `FrameSource.frames`."""
        starts_s = accumulate(self._durations_s, initial=0.0)
        number = 0
        try:
            for (number, time_s), pixels in zip(enumerate(starts_s), animation_frames(self._path)):
                if number % every == 0:
                    yield Frame(number, time_s, pixels)
        except Smirk3dError as error:
            raise Smirk3dError(f"{error} (after {number} of {len(self._durations_s)} frames)") from error


class Webcam:
    """A camera of this machine, read until the caller stops.

    Times are the camera's own: they tell when a frame was captured, not when a busy machine read it.

    Args:
        index: Number of the camera, from 0.
        rate_fps: Requested frames a second; the camera's default by default.

    Raises:
        Smirk3dError: There is no such camera.
    """

    def __init__(self, index: int, rate_fps: float | None = None) -> None:
        self._kind, pattern = WEBCAMS.get(sys.platform, WEBCAMS["linux"])
        self._name, self._device = f"webcam {index}", pattern.format(index)
        self._options = {} if rate_fps is None else {"framerate": f"{rate_fps:g}"}
        with self._open() as container:
            stream = video_stream(container)
            self.info = VideoInfo(self._name, float(stream.average_rate or DEFAULT_RATE_FPS), None)

    def frames(self, every: int = 1) -> Iterator[Frame]:
        """See `FrameSource.frames`."""
        n_captured = 0
        try:
            with self._open() as container:
                convert, captured = (
                    FrameConverter(PixelCoding.of_stream(video_stream(container))),
                    webcam_frames(container),
                )
                for n_captured, (frame, time_s) in enumerate(with_times(captured, self.info.rate_fps), start=1):
                    if (n_captured - 1) % every == 0:
                        yield Frame(n_captured - 1, time_s, convert(frame))
        except (pyav().FFmpegError, OSError, ValueError) as error:
            raise Smirk3dError(
                f"{self._name}: {error_text(error)} after {n_captured} frames; connect it again"
            ) from error

    def _open(self) -> Any:
        remedy = f"connect it ({self._device}), free it, or name another number or a video"
        return open_container(self._device, self._name, remedy, self._kind, self._options)


def open_source(name: str, rate_fps: float | None = None) -> FrameSource:
    """Return the source that a name stands for: a video file, a folder of images, or a webcam ("-" is webcam 0).

    Args:
        name: As the user wrote it.
        rate_fps: Frames a second of a folder, or requested of a webcam; ignored for video files.

    Raises:
        Smirk3dError: There is no such source, or it cannot be read.
    """
    if os.path.isdir(name):
        return FrameFolder(Path(name), rate_fps)
    number = webcam_number(name)
    if number is not None:
        return Webcam(number, rate_fps)
    durations_s = frame_durations_s(Path(name))
    return VideoFile(Path(name)) if durations_s is None else AnimatedWebp(Path(name), durations_s)


def webcam_number(name: str) -> int | None:
    """Return the number of the webcam that a name stands for; None for files and folders, also those named "0"."""
    if name == "-":
        return 0
    return int(name) if re.fullmatch("[0-9]{1,4}", name) and not os.path.lexists(name) else None


def _natural_sort_key(path: Path) -> tuple[list[tuple[int, str]], str]:
    """Return a key that sorts frame 9 before frame 10."""
    parts = re.split(r"([0-9]+)", path.name)
    return [(int(part), "") if k % 2 else (-1, part) for k, part in enumerate(parts)], path.name
