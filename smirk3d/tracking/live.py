"""Online tracking: every frame is solved as it arrives, from itself and the frames before it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from smirk3d.errors import NoFaceError, Smirk3dError
from smirk3d.estimation.estimator import Estimator, FaceObservation, observed_visibility
from smirk3d.estimation.reconstructor import Reconstructor
from smirk3d.geometry.rotations import rotmat_to_rotvec, rotvec_to_rotmat
from smirk3d.media.images import Photo
from smirk3d.media.video import Frame, FrameSource
from smirk3d.progress import Progress, frame_progress
from smirk3d.track import Clip
from smirk3d.tracking.detection_pass import FrameDetections, detect_frames, until_damage
from smirk3d.tracking.finite import REASON, finite_frames
from smirk3d.tracking.hidden_motion import shrink_hidden_motion
from smirk3d.tracking.motion import HeadMotion
from smirk3d.tracking.one_euro import OneEuroConfig, OneEuroFilter
from smirk3d.tracking.run import show_notes, write_clip
from smirk3d.tracking.track_solver import ClipCamera, clip_camera, solve_identity, solve_motion
from smirk3d.tracking.track_video import Person, TrackOptions, build_clip

IDENTITY_UPDATE_COUNTS = (1, 5, 15, 45, 120)
"""Numbers of detections at which the identity is estimated again; after the last it stays."""
WEIGHT_FILTER = OneEuroConfig(min_cutoff_hz=2.0, beta=8.0)
"""Filter of ARKit weights and of the head's native parameters."""
POSE_FILTER = OneEuroConfig(min_cutoff_hz=2.0, beta=10.0)
"""Filter of the rotation vector, of the offset in widths of the frame, and of the logarithm of the scale."""
VISIBILITY_FILTER = OneEuroConfig(min_cutoff_hz=1.5, beta=0.5)
"""Filter of visible shares; slow, since weights fade with them."""


class LivePerson:
    """One person, solved frame by frame.

    Args:
        estimator: Solves the records.
        size: (width, height) of the frames in pixels.
        options: Settings of the tracking, of which the strength of the smoothing is used.
    """

    def __init__(self, estimator: Estimator, size: tuple[int, int], options: TrackOptions) -> None:
        self._estimator, self._size, self._strength = estimator, size, options.smooth.strength
        self._records: list[np.ndarray] = []
        self._shape: np.ndarray | None = None
        self._camera: ClipCamera | None = None
        self._weight_filter = OneEuroFilter(_with_strength(WEIGHT_FILTER, self._strength))
        self._pose_filter = OneEuroFilter(_with_strength(POSE_FILTER, self._strength))
        self._reference_rotmat: np.ndarray | None = None
        self._visibility_filter = OneEuroFilter(_with_strength(VISIBILITY_FILTER, self._strength))
        self._frames: list[tuple[int, float, np.ndarray, np.ndarray, HeadMotion]] = []
        self._n_added = 0

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def is_solved(self) -> bool:
        """Whether a frame was solved, with finite numbers or not."""
        return self._shape is not None

    def add(
        self, frame: Frame, record: np.ndarray, score: float, box_px: np.ndarray, visibility: np.ndarray
    ) -> HeadMotion:
        """Solve one frame and return its motion, of length 1; one that is not finite is left out of the result.

        Args:
            frame: The frame.
            record: (1,) the estimator's record of the face.
            score: Score of the detector in [0, 1].
            box_px: (4,) box x0, y0, x1, y1 in pixels.
            visibility: (4,) visible share of each region, see `Visibility`.
        """
        count = self._n_added = self._n_added + 1
        if self._camera is None:
            self._camera = clip_camera(self._estimator, record, self._size)
        if count <= IDENTITY_UPDATE_COUNTS[-1]:
            self._records.append(record)
            if count in IDENTITY_UPDATE_COUNTS:
                self._shape = solve_identity(self._estimator, np.concatenate(self._records), self._camera)
        assert self._shape is not None
        motion = solve_motion(self._estimator, record, self._shape, self._camera)
        if not finite_frames(motion).all():  # in the filters it would spoil all later frames
            return motion
        if self._strength > 0:
            motion = self._smooth(motion, frame.time_s)
            visibility = self._visibility_filter(visibility, frame.time_s).clip(0, 1)
        motion = shrink_hidden_motion(self._estimator.head, motion, visibility[None])
        # One append for all values, since the user may interrupt between any two statements.
        self._frames.append((frame.number, score, box_px, visibility, motion))
        return motion

    def _smooth(self, motion: HeadMotion, time_s: float) -> HeadMotion:
        """Return a motion of length 1, smoothed with those before it."""
        # Rotation vectors relative to the first rotation: the filter needs values that can be subtracted.
        reference = motion.rotmat[0] if self._reference_rotmat is None else self._reference_rotmat
        self._reference_rotmat, width = reference, self._size[0]
        rotvec = rotmat_to_rotvec(torch.from_numpy(motion.rotmat[0] @ reference.T)).numpy()
        pose = np.concatenate([rotvec, motion.offset_px[0] / width, np.log(motion.scale_px_per_m)])
        pose = self._pose_filter(pose, time_s)
        native = {name: values[0] for name, values in motion.native.items()}
        weights = self._weight_filter(np.concatenate([motion.arkit[0], *native.values()]), time_s)
        sizes = np.cumsum([motion.arkit.shape[1], *(len(value) for value in native.values())])
        parts = np.split(weights, sizes[:-1])
        return motion.replace(
            arkit=parts[0][None].clip(0, 1),
            native={name: part[None] for name, part in zip(native, parts[1:])},
            rotmat=(rotvec_to_rotmat(torch.from_numpy(pose[:3])).numpy() @ reference)[None],
            offset_px=pose[None, 3:5] * width,
            scale_px_per_m=np.exp(pose[5:]),
        )

    def result(self) -> Person:
        """Return the estimates of all frames so far, at least one."""
        assert self._shape is not None and self._camera is not None
        frames, scores, boxes_px, visibilities, motions = zip(*self._frames)
        arrays = (np.array(frames), np.array(scores), np.stack(boxes_px), np.stack(visibilities))
        return Person(*arrays, self._shape, HeadMotion.concatenate(list(motions)), self._camera)


@dataclass(eq=False)
class _Recording:
    """The state of a run: times of the frames, their size, the persons so far, and damage of the source."""

    estimator: Estimator
    options: TrackOptions
    size: tuple[int, int] = (0, 0)
    times_s: list[float] = field(default_factory=list)
    people: dict[int, LivePerson] = field(default_factory=dict)
    damage: list[str] = field(default_factory=list)

    def add(self, detected: FrameDetections) -> None:
        """Solve the faces of the next frame."""
        frame = detected.frame
        self.size = (frame.pixels.shape[1], frame.pixels.shape[0])
        self.times_s.append(frame.time_s)
        for number, detection in zip(detected.persons, detected.detections):
            if number not in self.people:
                self.people[number] = LivePerson(self.estimator, self.size, self.options)
            face = [FaceObservation(Photo(frame.pixels), detection)]
            record, visibility = self.estimator.observe(face), observed_visibility(face)[0]
            self.people[number].add(frame, record, detection.score, detection.box_px, visibility)

    def results(self, name: str) -> list[Person]:
        """Return the estimates of all persons, at least one.

        Raises:
            NoFaceError: There was no face.
            Smirk3dError: There was no frame, and the source was damaged; or no frame has finite numbers.
        """
        # An interruption may leave a person without a frame.
        people = [person.result() for person in self.people.values() if len(person)]
        if not self.times_s and self.damage:
            raise Smirk3dError(self.damage[0])
        if not people and any(person.is_solved for person in self.people.values()):
            raise Smirk3dError(f"{name}: method {self.estimator.method!r} gives {REASON}")
        if not people:
            raise NoFaceError("; ".join([f"{name}: no face found in {len(self.times_s)} frames", *self.damage]))
        return people


@contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """Turn the first SIGTERM or SIGHUP into KeyboardInterrupt, and ignore later ones while files are written."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set signal handlers
        yield
        return
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]

    def interrupt(number: int, frame: Any) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    previous = [signal.signal(number, interrupt) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, previous):
            signal.signal(number, handler)


@_termination_as_interrupt()
def run_live(
    source: FrameSource,
    out_dir: Path,
    stem: str,
    reconstructor: Reconstructor,
    options: TrackOptions,
    *,
    blank_lost: bool = False,
    open_progress: Callable[[int], Progress] = frame_progress,
) -> Clip:
    """Track a source until it ends or the user interrupts, then write all files but the overlay.

    A closed terminal and SIGTERM count as an interruption, so that no recording is lost.

    Args:
        source: Usually a webcam.
        out_dir: An existing folder.
        stem: Start of the names of the files.
        reconstructor: Its detector and its estimator are used.
        options: Settings of the tracking.
        blank_lost: Leave the numbers of lost frames empty in Live Link tables, see `save_livelink`.
        open_progress: Returns the progress display for a number of frames, 0 where it is unknown.

    Raises:
        NoFaceError: There was no face.
        Smirk3dError: No frame can be read, or a file cannot be written.
    """
    recording = _Recording(reconstructor.estimator, options)
    with open_progress(source.info.n_frames or 0) as display:
        try:
            frames = until_damage(source.frames(), recording.damage.append)
            for detected in detect_frames(frames, reconstructor.detector, options.max_faces, options.detector):
                recording.add(detected)
                display.advance()
        except KeyboardInterrupt:
            display.note("smirk3d: stopped; writing the files")
        people, times_s = recording.results(source.info.name), np.array(recording.times_s)
        clip = build_clip(people, times_s, recording.size, recording.estimator, options, source.info, recording.damage)
        show_notes([*clip.losses, *clip.notes], display)
    write_clip(clip, out_dir, stem, blank_lost=blank_lost)
    return clip


def _with_strength(config: OneEuroConfig, strength: float) -> OneEuroConfig:
    """Return a filter for a strength of the smoothing: a larger one lowers the cut-off frequencies."""
    factor = max(strength, 1e-6)
    return OneEuroConfig(config.min_cutoff_hz / factor, config.beta / factor, config.derivative_cutoff_hz)
