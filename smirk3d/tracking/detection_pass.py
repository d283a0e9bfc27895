"""The first pass over a video: faces are detected, associated with persons, and reduced to records on disk.

Decoding, detection and the observation by the estimator run at the same time, the observation in up to two threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from smirk3d.detection.detector import Detection, Detector
from smirk3d.detection.face_regions import REGIONS
from smirk3d.errors import Smirk3dError
from smirk3d.estimation.estimator import Estimator, FaceObservation, observed_visibility
from smirk3d.media.images import Photo
from smirk3d.media.video import Frame, FrameSource
from smirk3d.networks.threads import shared_torch_threads
from smirk3d.tracking.association import FaceAssociator
from smirk3d.tracking.detection_loop import DetectorMode, RoiTracker
from smirk3d.tracking.portraits import PortraitAlbum
from smirk3d.tracking.prefetch import parallel_map, prefetch
from smirk3d.tracking.record_buffer import RecordBuffer
from smirk3d.tracking.shot_boundary import ShotBoundaryDetector

OBSERVATION_BATCH = 8
"""Faces that the estimator observes together."""
TRACK_TIMEOUT_S = 1.0
"""Time for which an undetected person keeps the place among the tracked ones."""


@dataclass(frozen=True, eq=False)
class FrameDetections:
    """One frame and its tracked faces.

    Attributes:
        frame: The frame.
        detections: The faces.
        persons: The person number of each face.
    """

    frame: Frame
    detections: tuple[Detection, ...]
    persons: tuple[int, ...]


@dataclass(eq=False)
class DetectionLog:
    """Results of the first pass; it grows while the pass runs.

    Attributes:
        records: One record a face: person, frame, score, box_px, visibility, and the estimator's `record`.
        size: (width, height) of the frames in pixels.
        time_s: When each frame is shown, in seconds.
        damage: Why reading ended early; None where it did not.
        album: Pictures of the persons.
    """

    records: RecordBuffer
    size: tuple[int, int] = (0, 0)
    time_s: list[float] = field(default_factory=list)
    damage: str | None = None
    album: PortraitAlbum = field(default_factory=PortraitAlbum)

    def note_damage(self, reason: str) -> None:
        """Keep the reason why reading ended early."""
        self.damage = reason


def record_type(estimator: Estimator) -> np.dtype:
    """Return the structured type of the records of a `DetectionLog`."""
    detection = [("person", "i4"), ("frame", "i8"), ("score", "f4"), ("box_px", "f4", 4)]
    return np.dtype([*detection, ("visibility", "f4", len(REGIONS)), ("record", estimator.dtype)])


def run_detection_pass(
    source: FrameSource,
    detector: Detector,
    estimator: Estimator,
    log: DetectionLog,
    max_faces: int | None = 1,
    *,
    mode: DetectorMode = "follow",
    visit: Callable[[FrameDetections], None] = lambda _: None,
) -> None:
    """Detect and observe the faces of a video.

    Args:
        source: The video.
        detector: Detects the faces.
        estimator: Reduces them to records.
        log: Receives the results; damage of the source is noted there, and the frames before it are kept.
        max_faces: Largest number of persons tracked at a time; None for all.
        mode: How frames are searched, see `RoiTracker`.
        visit: Called with each frame and its faces, in order.

    Raises:
        Smirk3dError: Something else than the source fails.
    """
    frames = prefetch(until_damage(source.frames(), log.note_damage))
    detected = prefetch(detect_frames(frames, detector, max_faces, mode))
    observe = partial(_observed, estimator=estimator, dtype=log.records.dtype)
    with (
        shared_torch_threads() as threads,
        closing(frames),
        closing(detected),
        closing(parallel_map(observe, _noted_batches(detected, log, visit), threads)) as observed,
    ):
        for rows in observed:
            log.records.append(rows)


def _noted_batches(
    detected: Iterable[FrameDetections], log: DetectionLog, visit: Callable[[FrameDetections], None]
) -> Iterator[list[tuple[FrameDetections, int]]]:
    """Note frames in the log, and yield the faces that are observed together, each the k-th of its frame."""
    pending: list[tuple[FrameDetections, int]] = []
    for result in detected:
        height, width = result.frame.pixels.shape[:2]
        log.size = (width, height)
        log.time_s.append(result.frame.time_s)
        for person, detection in zip(result.persons, result.detections, strict=True):
            log.album.offer(result.frame.number, result.frame.pixels, person, detection)
        pending += [(result, k) for k in range(len(result.detections))]
        if len(pending) >= OBSERVATION_BATCH:
            yield pending
            pending = []
        visit(result)
    if pending:
        yield pending


def until_damage(frames: Iterable[Frame], note: Callable[[str], None]) -> Iterator[Frame]:
    """Yield the frames of a source up to its damage.

    Args:
        frames: Of a `FrameSource`.
        note: Called with the message of the damage.
    """
    try:
        yield from frames
    except Smirk3dError as error:
        note(str(error))


def detect_frames(
    frames: Iterable[Frame], detector: Detector, max_faces: int | None, mode: DetectorMode = "follow"
) -> Iterator[FrameDetections]:
    """Yield each frame with the faces of the tracked persons.

    Args:
        frames: All frames of a video, in order.
        detector: Detects the faces.
        max_faces: Largest number of persons tracked at a time; None for all.
        mode: How frames are searched, see `RoiTracker`.
    """
    is_shot_boundary, associate, select = ShotBoundaryDetector(), FaceAssociator(), TrackSelector(max_faces)
    tracked: tuple[Detection, ...] = ()
    with RoiTracker(detector, mode, max_faces) as detect:
        for frame in frames:
            is_cut = is_shot_boundary(frame.pixels)
            detections = detect(frame, is_cut, tracked)
            persons = associate(frame.time_s, detections, is_cut)
            selected = select(frame.time_s, persons, is_cut)
            kept = [k for k, person in enumerate(persons) if person in selected]
            tracked = tuple(detections[k] for k in kept)
            yield FrameDetections(frame, tracked, tuple(persons[k] for k in kept))


class TrackSelector:
    """Selects the tracked persons of each frame, at most a fixed number; those tracked before come first.

    Args:
        max_faces: Largest number of persons tracked at a time; None for all.
    """

    def __init__(self, max_faces: int | None) -> None:
        self._max_faces = max_faces
        self._last_s: dict[int, float] = {}

    def __call__(self, time_s: float, persons: Sequence[int], is_cut: bool = False) -> list[int]:
        """Return the tracked persons of a frame.

        An undetected person keeps the place for `TRACK_TIMEOUT_S`, or until a cut: otherwise a bystander would become
        the tracked person whenever the detector misses a frame.

        Args:
            time_s: When the frame is shown, in seconds.
            persons: Numbers of the persons in the frame, the largest face first.
            is_cut: Whether a new shot begins with the frame.
        """
        previous = {} if is_cut else self._last_s
        self._last_s = {person: last_s for person, last_s in previous.items() if time_s - last_s <= TRACK_TIMEOUT_S}
        for person in persons:
            if person in self._last_s or self._max_faces is None or len(self._last_s) < self._max_faces:
                self._last_s[person] = time_s
        return [person for person in persons if person in self._last_s]


def _observed(batch: Sequence[tuple[FrameDetections, int]], estimator: Estimator, dtype: np.dtype) -> np.ndarray:
    """Return the records (N,) of faces, each the k-th of its frame."""
    photos = {id(result): Photo(result.frame.pixels) for result, _ in batch}
    rows = np.zeros(len(batch), dtype=dtype)
    faces = [FaceObservation(photos[id(each)], each.detections[k]) for each, k in batch]
    rows["record"], rows["visibility"] = estimator.observe(faces), observed_visibility(faces)
    for row, (result, k) in zip(rows, batch):
        row["person"], row["frame"] = result.persons[k], result.frame.number
        row["score"], row["box_px"] = result.detections[k].score, result.detections[k].box_px
    return rows
