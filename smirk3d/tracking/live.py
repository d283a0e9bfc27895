"""Tracking as frames arrive: every frame is solved from itself and those before it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import roma
import torch

from smirk3d.errors import NoFaceError, Smirk3dError
from smirk3d.estimation.estimator import Estimator, FaceObservation
from smirk3d.estimation.reconstructor import Reconstructor
from smirk3d.media.images import Photo
from smirk3d.media.video import Frame, FrameSource
from smirk3d.progress import Progress, frame_progress
from smirk3d.track import Clip
from smirk3d.tracking.detection_pass import detect_frames, until_damage
from smirk3d.tracking.motion import Motion
from smirk3d.tracking.one_euro import OneEuroConfig, OneEuroFilter
from smirk3d.tracking.run import show_notes, write_clip
from smirk3d.tracking.track_solver import ClipCamera, clip_camera, solve_identity, solve_motion
from smirk3d.tracking.track_video import Person, TrackOptions, build_clip

IDENTITY_UPDATE_COUNTS = (1, 5, 15, 45, 120)
"""Sightings after which the identity is found anew; after the last it is settled."""
WEIGHT_FILTER = OneEuroConfig(min_cutoff_hz=2.0, beta=8.0)
POSE_FILTER = OneEuroConfig(min_cutoff_hz=2.0, beta=10.0)
"""Of rotation vectors and of place and logarithm of the scale, in sizes of the frame."""


class LivePerson:
    """One person as the frames arrive.

    Args:
        estimator: Solves the observations. size: (width, height) of the frames. options: How strongly to smooth.
    """

    def __init__(self, estimator: Estimator, size: tuple[int, int], options: TrackOptions) -> None:
        self._estimator, self._size, self._strength = estimator, size, options.smooth.strength
        self._known: list[np.ndarray] = []
        self._shape: np.ndarray | None = None
        self._view: ClipCamera | None = None
        self._weights = OneEuroFilter(_with_strength(WEIGHT_FILTER, self._strength))
        self._pose = OneEuroFilter(_with_strength(POSE_FILTER, self._strength))
        self._anchor: np.ndarray | None = None
        self._seen: list[tuple[int, float, np.ndarray, Motion]] = []

    def __len__(self) -> int:
        return len(self._seen)

    def add(self, frame: Frame, record: np.ndarray, score: float, box_px: np.ndarray) -> Motion:
        """Take one observation, a record (1,) of the estimator's; return the motion of that frame."""
        count = len(self) + 1
        if self._view is None:
            self._view = clip_camera(self._estimator, record, self._size)
        if count <= IDENTITY_UPDATE_COUNTS[-1]:
            self._known.append(record)
            if count in IDENTITY_UPDATE_COUNTS:
                self._shape = solve_identity(self._estimator, np.concatenate(self._known), self._view)
        assert self._shape is not None
        motion = solve_motion(self._estimator, record, self._shape, self._view)
        motion = motion if self._strength == 0 else self._smooth(motion, frame.time_s)
        # In one step, since the user may interrupt at any time.
        self._seen.append((frame.number, score, box_px, motion))
        return motion

    def _smooth(self, motion: Motion, time_s: float) -> Motion:
        anchor = self._anchor = motion.rotmat[0] if self._anchor is None else self._anchor
        turn = roma.rotmat_to_rotvec(torch.from_numpy(motion.rotmat[0] @ anchor.T)).numpy()
        width = self._size[0]
        pose = np.concatenate([turn, motion.offset_px[0] / width, np.log(motion.scale_px_per_m)])
        pose = self._pose(pose, time_s)
        own = {name: values[0] for name, values in motion.own.items()}
        weights = self._weights(np.concatenate([motion.arkit[0], *own.values()]), time_s)
        sizes = np.cumsum([motion.arkit.shape[1], *(len(value) for value in own.values())])
        parts = np.split(weights, sizes[:-1])
        return motion.replace(
            arkit=parts[0][None].clip(0, 1),
            own={name: part[None] for name, part in zip(own, parts[1:])},
            rotmat=(roma.rotvec_to_rotmat(torch.from_numpy(pose[:3])).numpy() @ anchor)[None],
            offset_px=pose[None, 3:5] * width,
            scale_px_per_m=np.exp(pose[5:]),
        )

    def finished(self) -> Person:
        """Return all that was found; there is at least one observation."""
        assert self._shape is not None and self._view is not None
        frames, scores, boxes_px, motions = zip(*self._seen)
        motion = Motion.joined(list(motions))
        return Person(np.array(frames), np.array(scores), np.stack(boxes_px), self._shape, motion, self._view)


@contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """Let SIGTERM and SIGHUP interrupt once; what is written after them is written whole."""
    if threading.current_thread() is not threading.main_thread():  # which alone may change what signals do
        yield
        return
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]

    def interrupt(number: int, frame: Any) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = [signal.signal(number, interrupt) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before):
            signal.signal(number, handler)


@_termination_as_interrupt()
def run_live(
    source: FrameSource,
    out_dir: Path,
    stem: str,
    reconstructor: Reconstructor,
    options: TrackOptions,
    *,
    open_progress: Callable[[int], Progress] = frame_progress,
) -> Clip:
    """Track a source until it ends or the user interrupts, then write all files but the overlay.

    A terminal that is closed and a polite kill interrupt, too, so that no recording is lost.

    Args:
        source: Usually a webcam. out_dir: Exists. stem: Files are named after it. reconstructor, options: As for files.
        open_progress: Makes the display.

    Raises:
        NoFaceError: Nobody was seen. Smirk3dError: Nothing can be read, or a file cannot be written.
    """
    estimator, size = reconstructor.estimator, (0, 0)
    people: dict[int, LivePerson] = {}
    times_s: list[float] = []
    damage: list[str] = []
    with open_progress(source.info.n_frames or 0) as display:
        try:
            frames = until_damage(source.frames(), damage.append)
            for scene in detect_frames(frames, reconstructor.detector, options.max_faces, options.detector):
                frame = scene.frame
                size = (frame.pixels.shape[1], frame.pixels.shape[0])
                times_s.append(frame.time_s)
                for number, detection in zip(scene.people, scene.found):
                    if number not in people:
                        people[number] = LivePerson(estimator, size, options)
                    record = estimator.observe([FaceObservation(Photo(frame.pixels), detection)])
                    people[number].add(frame, record, detection.score, detection.box_px)
                display.advance()
        except KeyboardInterrupt:
            display.note("smirk3d: stopped; writing the files")
        finished = [person.finished() for person in people.values() if len(person)]
        if not times_s and damage:
            raise Smirk3dError(damage[0])
        if not finished:
            raise NoFaceError("; ".join([f"{source.info.name}: no face found in {len(times_s)} frames", *damage]))
        clip = build_clip(finished, np.array(times_s), size, estimator, options, source.info, damage)
        show_notes([*clip.losses, *clip.notes], display)
    write_clip(clip, out_dir, stem)
    return clip


def _with_strength(config: OneEuroConfig, strength: float) -> OneEuroConfig:
    """Return a filter that is stronger: its cut-off frequencies are lower."""
    factor = max(strength, 1e-6)
    return OneEuroConfig(config.min_cutoff_hz / factor, config.beta / factor, config.derivative_cutoff_hz)
