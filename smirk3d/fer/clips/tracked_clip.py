"""A clip on disk or from a camera to the features of its frames: tracking, face windows, expression vectors."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from smirk3d.errors import NoFaceError
from smirk3d.estimation.reconstructor import Reconstructor
from smirk3d.fer.clips.frame_features import frame_features, resampled
from smirk3d.fer.face_windows import face_window
from smirk3d.fer.vectors import BATCH, expressions_of
from smirk3d.media.video import FrameSource
from smirk3d.track import Status, Track
from smirk3d.tracking.detection_pass import FrameDetections
from smirk3d.tracking.track_video import TrackOptions, track_video

THUMBNAIL_PX = 72
THUMBNAIL_INTERVAL_S = 0.12
"""Least time between kept thumbnails."""
_MARGIN = 0.15
_BOX_TOLERANCE_PX = 0.5


@dataclass(frozen=True, eq=False)
class TrackedClip:
    """The person who is longest in a clip.

    Attributes:
        features: (S, D) float32 at `smirk3d.fer.clips.frame_features.RATE_FPS`.
        times_s: (S,) when these are, in seconds from the first frame.
        thumbnails: (K, 72, 72, 3) uint8 RGB pictures of the face.
        thumbnail_s: (K,) when these are.
        losses: Parts of the clip that could not be read, one line each.
    """

    features: np.ndarray
    times_s: np.ndarray
    thumbnails: np.ndarray = field(repr=False)
    thumbnail_s: np.ndarray = field(repr=False)
    losses: tuple[str, ...] = ()


def track_clip(
    source: FrameSource,
    reconstructor: Reconstructor,
    *,
    expression: str | os.PathLike[str] | None = None,
    advance: Callable[[], None] = lambda: None,
) -> TrackedClip:
    """Track a clip and read its frames.

    Args:
        source: The clip.
        reconstructor: Its detector and its estimator are used.
        expression: Weights of the expression network; None: the packaged ones.
        advance: Called after each frame.

    Raises:
        NoFaceError: There is no face in the clip.
        Smirk3dError: No frame can be read, or the network cannot be read.
    """
    faces = _FaceReader(expression)
    clip = track_video(source, reconstructor, TrackOptions(max_faces=1), advance=advance, visit=faces.add)
    track = clip.tracks[0]
    vectors = faces.vectors(track)
    known = np.isfinite(vectors).all(axis=1)
    if not known.any():
        raise NoFaceError(f"{source.info.name}: no face found")
    features = frame_features(vectors, track.arkit, track.angles_deg)
    sampled, times_s = resampled(features, track.time_s)
    thumbnails, thumbnail_s = faces.thumbnails(track)
    return TrackedClip(sampled, times_s, thumbnails, thumbnail_s, clip.losses)


class _FaceReader:
    """Keeps the expression vectors and thumbnails of detected faces, and not the frames."""

    def __init__(self, expression: str | os.PathLike[str] | None) -> None:
        self._expression = expression
        self._windows: list[np.ndarray] = []
        self._vectors: list[np.ndarray] = []
        self._boxes_px: list[np.ndarray] = []
        self._frames: list[int] = []
        self._thumbnails: list[tuple[int, np.ndarray]] = []
        self._last_s = -np.inf

    def add(self, found: FrameDetections) -> None:
        """Take the faces of a frame."""
        for detection in found.detections:
            self._windows.append(face_window(found.frame.pixels, detection.landmarks_px))
            self._boxes_px.append(detection.box_px)
            self._frames.append(found.frame.number)
        if found.detections and found.frame.time_s - self._last_s >= THUMBNAIL_INTERVAL_S:
            self._last_s = found.frame.time_s
            picture = _thumbnail(found.frame.pixels, found.detections[0].box_px)
            self._thumbnails.append((found.frame.number, picture))
        if len(self._windows) >= BATCH:
            self._read()

    def _read(self) -> None:
        if self._windows:
            self._vectors.append(expressions_of(np.stack(self._windows), self._expression).vectors)
            self._windows.clear()

    def vectors(self, track: Track) -> np.ndarray:
        """Return the vectors (T, 256) of a track; not a number where the face was not detected."""
        self._read()
        vectors, boxes_px = np.concatenate(self._vectors), np.stack(self._boxes_px)
        result = np.full((len(track), vectors.shape[1]), np.nan, dtype=np.float32)
        frames = np.array(self._frames)
        for row in np.flatnonzero(track.status == Status.SEEN).tolist():
            same = np.flatnonzero(frames == track.frame[row])
            distance = np.abs(boxes_px[same] - track.box_px[row]).max(axis=1)
            if len(same) and distance.min() < _BOX_TOLERANCE_PX:
                result[row] = vectors[same[distance.argmin()]]
        return result

    def thumbnails(self, track: Track) -> tuple[np.ndarray, np.ndarray]:
        """Return thumbnails and times of the frames of a track."""
        time_of = dict(zip(track.frame.tolist(), track.time_s.tolist()))
        kept = [(picture, time_of[frame]) for frame, picture in self._thumbnails if frame in time_of]
        if not kept:
            return np.zeros((0, THUMBNAIL_PX, THUMBNAIL_PX, 3), np.uint8), np.zeros(0)
        pictures, times_s = zip(*kept)
        return np.stack(pictures), np.array(times_s)


def _thumbnail(pixels: np.ndarray, box_px: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    x0, y0, x1, y1 = (float(edge) for edge in box_px)
    half = max(x1 - x0, y1 - y0) * (0.5 + _MARGIN)
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    left, top = max(round(x - half), 0), max(round(y - half), 0)
    right, bottom = min(round(x + half), width), min(round(y + half), height)
    part = Image.fromarray(pixels).crop((left, top, max(right, left + 1), max(bottom, top + 1)))
    return np.asarray(part.resize((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.BILINEAR))
