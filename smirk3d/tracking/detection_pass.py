"""The first pass over a video: who is where in each frame, reduced to records on disk.

Decoding, detection and the encoder run beside each other, a thread each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np

from smirk3d.detection.detector import Detection, Detector
from smirk3d.errors import Smirk3dError
from smirk3d.estimation.estimator import Estimator, FaceObservation
from smirk3d.media.images import Photo
from smirk3d.media.video import Frame, FrameSource
from smirk3d.tracking.association import FaceAssociator
from smirk3d.tracking.detection_loop import DetectorMode, RoiTracker
from smirk3d.tracking.prefetch import prefetch
from smirk3d.tracking.record_buffer import RecordBuffer
from smirk3d.tracking.shot_boundary import ShotBoundaryDetector

OBSERVATION_BATCH = 8
"""Sightings that are read together."""
TRACK_TIMEOUT_S = 1.0
"""How long nobody else takes the place of a person who is out of sight."""


@dataclass(frozen=True, eq=False)
class FrameDetections:
    """One frame and who is in it. people: A number for each of `found`."""

    frame: Frame
    found: tuple[Detection, ...]
    people: tuple[int, ...]


@dataclass(eq=False)
class DetectionLog:
    """What the first pass found; grows while it runs.

    Attributes:
        spool: A record for each face_observation: person, frame, score, box_px, and the estimator's `record`.
        size: (width, height) of the frames. time_s: Of every frame. damage: Why reading ended early, if it did.
    """

    spool: RecordBuffer
    size: tuple[int, int] = (0, 0)
    time_s: list[float] = field(default_factory=list)
    damage: str | None = None

    def note_damage(self, reason: str) -> None:
        """Keep why reading ended early."""
        self.damage = reason


def record_type(estimator: Estimator) -> np.dtype:
    """Return the type of the records of observations."""
    place = [("person", "i4"), ("frame", "i8"), ("score", "f4"), ("box_px", "f4", 4)]
    return np.dtype([*place, ("record", estimator.dtype)])


def run_detection_pass(
    source: FrameSource,
    detector: Detector,
    estimator: Estimator,
    watched: DetectionLog,
    max_faces: int | None = 1,
    *,
    mode: DetectorMode = "follow",
    advance: Callable[[], None] = lambda: None,
) -> None:
    """Look through a video.

    Args:
        source: The video. detector: Finds faces. estimator: Reduces them to records.
        watched: Is filled. Damage of the source is noted there, and what came before it is kept.
        max_faces: How many people are followed at a time; None for all that are found.
        mode: See `RoiTracker`. advance: Called after each frame.

    Raises:
        Smirk3dError: Something else than the source fails.
    """
    frames = prefetch(until_damage(source.frames(), watched.note_damage))
    seen = prefetch(detect_frames(frames, detector, max_faces, mode))
    waiting: list[tuple[FrameDetections, int]] = []
    with closing(frames), closing(seen):
        for scene in seen:
            height, width = scene.frame.pixels.shape[:2]
            watched.size = (width, height)
            watched.time_s.append(scene.frame.time_s)
            waiting += [(scene, k) for k in range(len(scene.found))]
            if len(waiting) >= OBSERVATION_BATCH:
                _store(waiting, estimator, watched.spool)
                waiting.clear()
            advance()
    _store(waiting, estimator, watched.spool)


def until_damage(frames: Iterable[Frame], note: Callable[[str], None]) -> Iterator[Frame]:
    """Yield the frames of a source up to where it is damaged; `note` is told what is wrong there."""
    try:
        yield from frames
    except Smirk3dError as error:
        note(str(error))


def detect_frames(
    frames: Iterable[Frame], detector: Detector, max_faces: int | None, mode: DetectorMode = "follow"
) -> Iterator[FrameDetections]:
    """Yield each frame with the people to follow in it; `max_faces` and `mode` as in `run_detection_pass`."""
    is_cut, follow, choose = ShotBoundaryDetector(), FaceAssociator(), TrackSelector(max_faces)
    followed: tuple[Detection, ...] = ()
    with RoiTracker(detector, mode, max_faces) as look:
        for frame in frames:
            cut = is_cut(frame.pixels)
            found = look(frame, cut, followed)
            people = follow(frame.time_s, found, cut)
            chosen = choose(frame.time_s, people, cut)
            kept = [k for k, person in enumerate(people) if person in chosen]
            followed = tuple(found[k] for k in kept)
            yield FrameDetections(frame, followed, tuple(people[k] for k in kept))


class TrackSelector:
    """Says frame by frame whom to follow: up to `most` people, those followed before first; None for all."""

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._last_s: dict[int, float] = {}

    def __call__(self, time_s: float, people: Sequence[int], is_cut: bool = False) -> list[int]:
        """Return those of a frame to follow; until a cut, who is out of sight keeps the place for `TRACK_TIMEOUT_S`.

        Args:
            time_s: When the frame is shown. people: Those in it, largest first. is_cut: A new scene begins with it.
        """
        kept = {} if is_cut else self._last_s
        self._last_s = {person: last_s for person, last_s in kept.items() if time_s - last_s <= TRACK_TIMEOUT_S}
        for person in people:
            if person in self._last_s or self._most is None or len(self._last_s) < self._most:
                self._last_s[person] = time_s
        return [person for person in people if person in self._last_s]


def _store(waiting: Sequence[tuple[FrameDetections, int]], estimator: Estimator, spool: RecordBuffer) -> None:
    if not waiting:
        return
    photos = {id(scene): Photo(scene.frame.pixels) for scene, _ in waiting}
    face_observations: list[FaceObservation] = [
        FaceObservation(photos[id(scene)], scene.found[k]) for scene, k in waiting
    ]
    rows = np.zeros(len(waiting), dtype=spool.dtype)
    rows["record"] = estimator.observe(face_observations)
    for row, (scene, k) in zip(rows, waiting):
        row["person"], row["frame"] = scene.people[k], scene.frame.number
        row["score"], row["box_px"] = scene.found[k].score, scene.found[k].box_px
    spool.append(rows)
