"""Emotions over time: the heads of a video are tracked, and the expression network reads each detected face."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from smirk3d.estimation.reconstructor import Reconstructor
from smirk3d.export.tables.expressions_csv import STATUS_OK
from smirk3d.fer.action_units import action_units
from smirk3d.fer.emotion_record import EmotionRecord, EmotionValues
from smirk3d.fer.emotions import EMOTIONS, valence_arousal
from smirk3d.fer.face_windows import face_window
from smirk3d.fer.vectors import BATCH, expressions_of
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.media.video import FrameSource
from smirk3d.track import Clip, Status, Track
from smirk3d.tracking.detection_pass import FrameDetections
from smirk3d.tracking.track_video import TrackOptions, track_video

_STATUS_NAMES = {Status.SEEN: STATUS_OK, Status.FILLED: "filled", Status.LOST: "lost"}
_BOX_TOLERANCE_PX = 0.01


@dataclass(frozen=True, eq=False)
class ClipEmotions:
    """The expressions of the people in a video.

    Attributes:
        clip: The tracks; their weights are smoothed, and calibrated to the person.
        probabilities: (T, 8) float64 for each track: probabilities of `EMOTIONS` in each of its frames, as the network
            predicts them of that frame alone; interpolated in short gaps, NaN where the face was lost.
    """

    clip: Clip
    probabilities: tuple[np.ndarray, ...]

    def records(self, name: str, *, with_faces: bool = False) -> Iterator[EmotionRecord]:
        """Yield a record for each frame and track, frame by frame.

        Args:
            name: Name of the video, as in the table.
            with_faces: Also reconstruct the head of each frame, for its landmarks.
        """
        rows_of_frame: dict[int, list[tuple[int, int]]] = {}
        for number, track in enumerate(self.clip.tracks):
            for row, frame in enumerate(track.frame.tolist()):
                rows_of_frame.setdefault(frame, []).append((number, row))
        for _, rows in sorted(rows_of_frame.items()):
            known = [(number, row) for number, row in rows if self.clip.tracks[number].known[row]]
            by_size = sorted(known, key=lambda place: -_face_size_px(self.clip.tracks[place[0]], place[1]))
            for place in rows:
                face = by_size.index(place) if place in by_size else None
                yield self._record(name, *place, face, with_faces)

    def _record(self, name: str, number: int, row: int, face: int | None, with_faces: bool) -> EmotionRecord:
        track = self.clip.tracks[number]
        return EmotionRecord(
            name=name,
            face=face,
            status=_STATUS_NAMES[Status(track.status[row])],
            image_size=track.image_size,
            values=None if face is None else self._values(number, row, with_faces),
            picture=int(track.frame[row]),
            time_s=float(track.time_s[row]),
            track=track.number,
        )

    def _values(self, number: int, row: int, with_faces: bool) -> EmotionValues:
        track, probabilities = self.clip.tracks[number], self.probabilities[number][row]
        valence, arousal = valence_arousal(probabilities).tolist()
        yaw, pitch, roll = track.angles_deg[row].tolist()
        return EmotionValues(
            confidence=float(track.confidence[row]),
            box_px=track.box_px[row],
            angles_deg=(yaw, pitch, roll),
            probabilities=probabilities,
            valence=valence,
            arousal=arousal,
            action_units=action_units(dict(zip(ARKIT_NAMES, track.arkit[row].tolist()))),
            visibility=tuple(track.visibility[row].tolist()),
            face=track.face(row) if with_faces else None,
        )


def recognize_clip(
    source: FrameSource,
    reconstructor: Reconstructor,
    options: TrackOptions | None = None,
    *,
    weights: str | os.PathLike[str] | None = None,
    advance: Callable[[], None] = lambda: None,
) -> ClipEmotions:
    """Track the heads in a video and recognise their emotions.

    Args:
        source: The video.
        reconstructor: Its detector and its estimator are used.
        options: Settings of the tracking; by default everybody is tracked, with weights calibrated as in
            `smirk3d video`.
        weights: File of `smirk3d fer train`; None: the packaged network.
        advance: Called after each frame.

    Raises:
        NoFaceError: There is no face in the video.
        Smirk3dError: No frame can be read, or the network cannot be read.
    """
    options = options or TrackOptions(max_faces=None, calibrate="calmest")
    reader = _FrameReader(weights)
    clip = track_video(source, reconstructor, options, advance=advance, visit=reader.add)
    found = reader.finish()
    return ClipEmotions(clip, tuple(_of_track(track, found) for track in clip.tracks))


@dataclass(frozen=True, eq=False)
class _Predictions:
    """Predictions of N detected faces of a video, ordered by frame.

    Attributes:
        frame: (N,) int64.
        box_px: (N, 4) boxes of the detections.
        probabilities: (N, 8).
    """

    frame: np.ndarray
    box_px: np.ndarray
    probabilities: np.ndarray


class _FrameReader:
    """Predicts the faces of successive frames in batches; only boxes and probabilities are kept."""

    def __init__(self, weights: str | os.PathLike[str] | None) -> None:
        self._weights = weights
        self._windows: list[np.ndarray] = []
        self._frames: list[int] = []
        self._boxes_px: list[np.ndarray] = []
        self._probabilities: list[np.ndarray] = []

    def add(self, found: FrameDetections) -> None:
        """Take the faces of a frame."""
        for detection in found.detections:
            self._windows.append(face_window(found.frame.pixels, detection.landmarks_px))
            self._frames.append(found.frame.number)
            self._boxes_px.append(detection.box_px)
        if len(self._windows) >= BATCH:
            self._predict()

    def finish(self) -> _Predictions:
        """Return the predictions of all faces."""
        self._predict()
        frames = np.array(self._frames, dtype=np.int64)
        boxes_px = np.array(self._boxes_px, dtype=np.float32).reshape(-1, 4)
        empty = np.zeros((0, len(EMOTIONS)))
        return _Predictions(frames, boxes_px, np.concatenate([empty, *self._probabilities]))

    def _predict(self) -> None:
        if self._windows:
            predicted = expressions_of(np.stack(self._windows), self._weights)
            self._probabilities.append(predicted.probabilities.astype(np.float64))
            self._windows.clear()


def _of_track(track: Track, found: _Predictions) -> np.ndarray:
    """Return the probabilities (T, 8) of a track, which has the boxes of its detections."""
    probabilities = np.full((len(track), len(EMOTIONS)), np.nan)
    for row in np.flatnonzero(track.status == Status.SEEN).tolist():
        first, last = np.searchsorted(found.frame, (track.frame[row], track.frame[row] + 1)).tolist()
        distance = np.abs(found.box_px[first:last] - track.box_px[row]).max(axis=1)
        assert len(distance) and distance.min() < _BOX_TOLERANCE_PX  # it was detected there
        probabilities[row] = found.probabilities[first + int(distance.argmin())]
    seen, filled = (np.flatnonzero(track.status == status) for status in (Status.SEEN, Status.FILLED))
    for column in probabilities.T:
        column[filled] = np.interp(track.time_s[filled], track.time_s[seen], column[seen])
    return probabilities


def _face_size_px(track: Track, row: int) -> float:
    x0, y0, x1, y1 = track.box_px[row].tolist()
    return max(x1 - x0, y1 - y0)
