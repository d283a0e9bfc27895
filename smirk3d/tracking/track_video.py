"""Video in, tracks out: watch it once, then solve each person as a whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from smirk3d.errors import NoFaceError, Smirk3dError
from smirk3d.estimation.estimator import HALF_CONFIDENCE_RESIDUAL, Estimator
from smirk3d.estimation.reconstructor import Reconstructor
from smirk3d.head.registry import register
from smirk3d.media.video import FrameSource, VideoInfo
from smirk3d.track import FRAME_FIELDS, Clip, Status, Track
from smirk3d.tracking.detection_loop import DetectorMode
from smirk3d.tracking.detection_pass import DetectionLog, record_type, run_detection_pass
from smirk3d.tracking.gap_filling import frame_statuses, interpolate_gaps
from smirk3d.tracking.motion import Motion
from smirk3d.tracking.neutral_calibration import NeutralCalibration, neutral_calibrated
from smirk3d.tracking.record_buffer import RecordBuffer
from smirk3d.tracking.track_solver import ClipCamera, clip_camera, coefficients, solve_identity, solve_motion
from smirk3d.tracking.whittaker_smoother import SmoothConfig, smooth_motion

MIN_FRAME_WEIGHT = 0.05
"""Say in the smoothing of a frame of no confidence."""
OUTLIER_RESIDUAL_RATIO = 3.0
"""A observation so many times farther off than most of a person, by which confidence is halved, too, is no face."""


@dataclass(frozen=True)
class TrackOptions:
    """How a video becomes tracks."""

    max_faces: int | None = 1
    """People followed at a time; None for all."""
    smooth: SmoothConfig = field(default_factory=SmoothConfig)
    max_gap_s: float = 0.5
    """Longest time between two observations of a face that is bridged."""
    min_duration_s: float = 0.2
    """Tracks shorter than this are taken for false alarms, unless there is no other."""
    calibrate: NeutralCalibration = "none"
    detector: DetectorMode = "follow"
    """How faces are found in the frames, see `Looker`."""

    def __post_init__(self) -> None:
        if self.detector == "video" and self.max_faces != 1:
            raise ValueError(f"the detector's video mode follows one person, not {self.max_faces or 'all'}")


def track_video(
    source: FrameSource,
    reconstructor: Reconstructor,
    options: TrackOptions | None = None,
    *,
    advance: Callable[[], None] = lambda: None,
) -> Clip:
    """Find the people in a video and what their heads do.

    Args:
        source: The video. reconstructor: Its detector and its method are used. options: See there.
        advance: Called after each frame of the first pass.

    Raises:
        NoFaceError: Nobody is in it. Smirk3dError: It has no frames that can be read.
    """
    options = options or TrackOptions()
    estimator = reconstructor.estimator
    with RecordBuffer(record_type(estimator)) as spool:
        watched = DetectionLog(spool)
        run_detection_pass(
            source,
            reconstructor.detector,
            estimator,
            watched,
            options.max_faces,
            mode=options.detector,
            advance=advance,
        )
        if not watched.time_s:
            raise Smirk3dError(watched.damage or f"{source.info.name}: has no frames; name another video")
        rows, losses = spool.read(), [watched.damage] if watched.damage else []
        if not len(rows):
            found = f"{source.info.name}: no face found in {len(watched.time_s)} frames"
            raise NoFaceError("; ".join([found, *losses]))
        view = clip_camera(estimator, rows["record"], watched.size)
        people = [_solve_person(rows[rows["person"] == k], estimator, view) for k in np.unique(rows["person"])]
        time_s = np.array(watched.time_s)
        people = [_smooth_person(person, time_s, options) for person in people]
        clip = build_clip(people, time_s, watched.size, estimator, options, source.info, losses)
        misfits = len(rows) - sum(len(person.frame) for person in people)
        told = (f"{misfits} face_observations that are no face left out",) if misfits else ()
        return replace(clip, notes=(*clip.notes, *told))


@dataclass(frozen=True, eq=False)
class Person:
    """What was found of one person in K observations, in the order of their frames.

    Attributes:
        frame: (K,) int64. score: (K,) in [0, 1], the detector's. box_px: (K, 4).
        shape: (S,) identity. motion: Of the K observations. view: The camera.
    """

    frame: np.ndarray
    score: np.ndarray
    box_px: np.ndarray
    shape: np.ndarray
    motion: Motion
    view: ClipCamera

    @property
    def confidence(self) -> np.ndarray:
        """Of each observation (K,), in [0, 1]."""
        return self.score / (1 + (self.motion.residual / HALF_CONFIDENCE_RESIDUAL) ** 2)


def build_clip(
    people: Sequence[Person],
    time_s: np.ndarray,
    size: tuple[int, int],
    estimator: Estimator,
    options: TrackOptions,
    info: VideoInfo,
    losses: Sequence[str],
) -> Clip:
    """Return the clip of people, those seen most first, those seen for a moment only left out.

    Args:
        people: At least one. time_s: When each frame of the clip is shown. size: (width, height) of the frames.
        estimator: What solved them. options: See there. info: Of the source. losses: What could not be read.
    """
    ordered = sorted(people, key=lambda person: len(person.frame), reverse=True)
    kept = [p for p in ordered if time_s[p.frame[-1]] - time_s[p.frame[0]] >= options.min_duration_s] or ordered[:1]
    short = len(ordered) - len(kept)
    notes = (f"{short} faces seen for less than {options.min_duration_s:g} s left out",) if short else ()
    tracks = tuple(_track(k, person, time_s, estimator, options, info.rate_fps) for k, person in enumerate(kept))
    return Clip(info.name, info.rate_fps, size, len(time_s), tracks, notes, tuple(losses))


def _solve_person(rows: np.ndarray, estimator: Estimator, view: ClipCamera) -> Person:
    """Solve a person, without observations that are none: a detector is easily deceived when a face appears or goes."""
    shape = solve_identity(estimator, rows["record"], view)
    motion = solve_motion(estimator, rows["record"], shape, view)
    is_face = motion.residual <= max(
        OUTLIER_RESIDUAL_RATIO * float(np.median(motion.residual)), HALF_CONFIDENCE_RESIDUAL
    )
    if not is_face.all():  # the identity, too, came from all of them
        rows = rows[is_face]
        shape = solve_identity(estimator, rows["record"], view)
        motion = solve_motion(estimator, rows["record"], shape, view)
    return Person(rows["frame"], rows["score"], rows["box_px"], shape, motion, view)


def _smooth_person(person: Person, time_s: np.ndarray, options: TrackOptions) -> Person:
    """Smooth each stretch without long gaps, and calibrate them together."""
    first, seen = _detected_frames(person)
    times_s = time_s[first : first + len(seen)]
    lost = frame_statuses(seen, times_s, options.max_gap_s) == Status.LOST
    trust = person.confidence.clip(MIN_FRAME_WEIGHT, 1)
    # Rows of observations that follow each other without a gap that stays one.
    stretch = np.cumsum(lost)[seen]
    parts = [
        smooth_motion(person.motion[rows], time_s[person.frame[rows]], trust[rows], options.smooth)
        for rows in (np.flatnonzero(stretch == number) for number in np.unique(stretch))
    ]
    motion = Motion.joined(parts)
    return replace(person, motion=motion.replace(arkit=neutral_calibrated(motion.arkit, options.calibrate)))


def _detected_frames(person: Person) -> tuple[int, np.ndarray]:
    """Return the first frame of a person, and in which (T,) from there to the last there is a observation."""
    first, last = int(person.frame[0]), int(person.frame[-1])
    return first, np.isin(np.arange(first, last + 1), person.frame)


def _track(
    number: int, person: Person, time_s: np.ndarray, estimator: Estimator, options: TrackOptions, rate_fps: float
) -> Track:
    """Return a person's observations with the frames between them."""
    first, seen = _detected_frames(person)
    frames = np.arange(first, first + len(seen))
    times_s = time_s[frames]
    status = frame_statuses(seen, times_s, options.max_gap_s)
    motion, view = interpolate_gaps(person.motion, seen, times_s), person.view
    confidence = np.zeros(len(frames))
    confidence[seen] = person.confidence
    values = coefficients(estimator.head, motion, person.shape) | {
        "arkit": motion.arkit,
        "rotation_rotmat": motion.rotmat,
        "translation_m": motion.translation_m(view.focal_px),
        "scale_px_per_m": motion.scale_px_per_m,
        "confidence": confidence,
        "residual_percent": 100 * motion.residual,
        "box_px": np.stack([np.interp(frames, person.frame, column) for column in person.box_px.T], axis=1),
    }
    values = {name: np.array(values[name], dtype=np.float32) for name in FRAME_FIELDS}
    for value in values.values():
        value[status == Status.LOST] = np.nan
    return Track(
        number=number,
        frame=frames,
        time_s=times_s,
        status=status,
        shape=person.shape,
        center_px=np.array(view.size, dtype=np.float32) / 2,
        focal_px=view.focal_px,
        image_size=view.size,
        rate_fps=rate_fps,
        method=estimator.method,
        head_id=register(estimator.head),
        **values,
    )
