"""Emotions over time: the heads of a video are tracked, and the expression network reads each detected face."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from smirk3d.estimation.reconstructor import Reconstructor
from smirk3d.export.tables.expressions_csv import STATUS_OK
from smirk3d.fer.action_units import action_units
from smirk3d.fer.detected_faces import DetectedFaces, TrackExpressions
from smirk3d.fer.emotion_record import EmotionRecord, EmotionValues
from smirk3d.fer.emotions import valence_arousal
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.media.video import FrameSource
from smirk3d.track import Clip, Status, Track
from smirk3d.tracking.track_video import TrackOptions, solve_video

_STATUS_NAMES = {Status.SEEN: STATUS_OK, Status.FILLED: "filled", Status.LOST: "lost"}


@dataclass(frozen=True, eq=False)
class ClipEmotions:
    """The expressions of the people in a video.

    Attributes:
        clip: The tracks; their weights are smoothed, and calibrated to the person.
        probabilities: (T, 8) float64 for each track: probabilities of `EMOTIONS` in each of its frames, as the network
            predicts them of that frame alone; interpolated in short gaps, NaN where the face was lost.
        expressions: Of each track, in the frames where its face was detected.
        uncalibrated: The tracks with weights that are not calibrated to the person; only with expression vectors.
    """

    clip: Clip
    probabilities: tuple[np.ndarray, ...]
    expressions: tuple[TrackExpressions, ...]
    uncalibrated: Clip | None = None

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
    with_vectors: bool = False,
    advance: Callable[[], None] = lambda: None,
) -> ClipEmotions:
    """Track the heads in a video and recognise their emotions.

    Args:
        source: The video.
        reconstructor: Its detector and its estimator are used.
        options: Settings of the tracking; by default everybody is tracked, with weights calibrated as in
            `smirk3d video`.
        weights: File of `smirk3d fer train`; None: the packaged network.
        with_vectors: Keep expression vectors and thumbnails of the faces as well.
        advance: Called after each frame.

    Raises:
        NoFaceError: There is no face in the video.
        Smirk3dError: No frame can be read, or the network cannot be read.
    """
    options = options or TrackOptions(max_faces=None, calibrate="rest")
    faces = DetectedFaces(weights, with_vectors=with_vectors)
    solved = solve_video(source, reconstructor, options, advance=advance, visit=faces.add)
    clip = solved.clip(options)
    expressions = tuple(faces.of_track(track) for track in clip.tracks)
    probabilities = tuple(map(_through_gaps, clip.tracks, expressions))
    uncalibrated = solved.clip(replace(options, calibrate="none")) if with_vectors else None
    return ClipEmotions(clip, probabilities, expressions, uncalibrated)


def _through_gaps(track: Track, expressions: TrackExpressions) -> np.ndarray:
    """Return the probabilities (T, 8) of a track, interpolated where its short gaps are filled."""
    probabilities = expressions.probabilities.copy()
    seen, filled = (np.flatnonzero(track.status == status) for status in (Status.SEEN, Status.FILLED))
    for column in probabilities.T:
        column[filled] = np.interp(track.time_s[filled], track.time_s[seen], column[seen])
    return probabilities


def _face_size_px(track: Track, row: int) -> float:
    x0, y0, x1, y1 = track.box_px[row].tolist()
    return max(x1 - x0, y1 - y0)
