"""The expressions of the faces detected in a video, and which of them belong to a track; frames are not kept."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from smirk3d.fer.emotions import EMOTIONS
from smirk3d.fer.face_windows import face_window
from smirk3d.fer.network import N_FEATURES
from smirk3d.fer.vectors import BATCH, expressions_of
from smirk3d.track import Status, Track
from smirk3d.tracking.detection_pass import FrameDetections

THUMBNAIL_PX = 72
THUMBNAIL_INTERVAL_S = 0.12
"""Least time between kept thumbnails."""
_MARGIN = 0.15
_BOX_TOLERANCE_PX = 0.01


@dataclass(frozen=True, eq=False)
class TrackExpressions:
    """The expressions of a person in a video of T frames.

    Attributes:
        probabilities: (T, 8) float64 of `EMOTIONS`; not a number where the face was not detected.
        vectors: (T, 256) float32 expression vectors; likewise.
        thumbnails: (K, 72, 72, 3) uint8 RGB pictures of the face.
        thumbnail_s: (K,) when these are, in seconds.
    """

    probabilities: np.ndarray
    vectors: np.ndarray = field(repr=False)
    thumbnails: np.ndarray = field(repr=False)
    thumbnail_s: np.ndarray = field(repr=False)


class DetectedFaces:
    """Reads the faces of successive frames in batches; keeps boxes, expressions and thumbnails.

    Args:
        weights: File of `smirk3d fer train`; None: the packaged network.
        with_vectors: Keep expression vectors and thumbnails, not only probabilities.
    """

    def __init__(self, weights: str | os.PathLike[str] | None, *, with_vectors: bool) -> None:
        self._weights, self._with_vectors = weights, with_vectors
        self._windows: list[np.ndarray] = []
        self._frames: list[int] = []
        self._boxes_px: list[np.ndarray] = []
        self._probabilities: list[np.ndarray] = []
        self._vectors: list[np.ndarray] = []
        self._thumbnails: dict[int, tuple[float, np.ndarray]] = {}
        self._last_s = -np.inf

    def add(self, found: FrameDetections) -> None:
        """Take the faces of a frame."""
        frame = found.frame
        has_thumbnails = self._with_vectors and frame.time_s - self._last_s >= THUMBNAIL_INTERVAL_S
        for detection in found.detections:
            if has_thumbnails:
                self._last_s = frame.time_s
                self._thumbnails[len(self._frames)] = (frame.time_s, _thumbnail(frame.pixels, detection.box_px))
            self._windows.append(face_window(frame.pixels, detection.landmarks_px))
            self._frames.append(frame.number)
            self._boxes_px.append(detection.box_px)
        if len(self._windows) >= BATCH:
            self._read()

    def of_track(self, track: Track) -> TrackExpressions:
        """Return the expressions of a track, which has the boxes of its detections."""
        self._read()
        probabilities = np.full((len(track), len(EMOTIONS)), np.nan)
        vectors = np.full((len(track), N_FEATURES), np.nan, dtype=np.float32)
        thumbnails = []
        for row, face in self._faces_of(track):
            probabilities[row] = self._probabilities[face]
            if self._with_vectors:
                vectors[row] = self._vectors[face]
            if face in self._thumbnails:
                thumbnails.append(self._thumbnails[face])
        pictures = np.array([picture for _, picture in thumbnails], np.uint8)
        times_s = np.array([time_s for time_s, _ in thumbnails])
        return TrackExpressions(probabilities, vectors, pictures.reshape(-1, THUMBNAIL_PX, THUMBNAIL_PX, 3), times_s)

    def _faces_of(self, track: Track) -> list[tuple[int, int]]:
        """Return rows of a track in which its face was detected, with the numbers of these faces."""
        frames, found = np.array(self._frames), []
        for row in np.flatnonzero(track.status == Status.SEEN).tolist():
            first, last = np.searchsorted(frames, (track.frame[row], track.frame[row] + 1)).tolist()
            boxes_px = np.stack(self._boxes_px[first:last])
            distance_px = np.abs(boxes_px - track.box_px[row]).max(axis=1)
            assert distance_px.min() < _BOX_TOLERANCE_PX  # it was detected there
            found.append((row, first + int(distance_px.argmin())))
        return found

    def _read(self) -> None:
        if self._windows:
            found = expressions_of(np.stack(self._windows), self._weights)
            self._probabilities.extend(found.probabilities.astype(np.float64))
            if self._with_vectors:
                self._vectors.extend(found.vectors)
            self._windows.clear()


def _thumbnail(pixels: np.ndarray, box_px: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    x0, y0, x1, y1 = (float(edge) for edge in box_px)
    half = max(x1 - x0, y1 - y0) * (0.5 + _MARGIN)
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    left, top = max(round(x - half), 0), max(round(y - half), 0)
    right, bottom = min(round(x + half), width), min(round(y + half), height)
    part = Image.fromarray(pixels).crop((left, top, max(right, left + 1), max(bottom, top + 1)))
    return np.asarray(part.resize((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.BILINEAR))
