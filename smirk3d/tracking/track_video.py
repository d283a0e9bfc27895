"""Offline tracking: one detection pass over the video, then a joint estimate of each person over all frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from smirk3d.errors import NoFaceError, Smirk3dError
from smirk3d.estimation.estimator import HALF_CONFIDENCE_RESIDUAL, Estimator, fit_confidence
from smirk3d.estimation.hidden_regions import confidence_factor
from smirk3d.estimation.reconstructor import Reconstructor
from smirk3d.head.model import HeadModel
from smirk3d.head.registry import register
from smirk3d.media.video import FrameSource, VideoInfo
from smirk3d.track import FRAME_FIELDS, Clip, Status, Track
from smirk3d.tracking.detection_loop import DetectorMode
from smirk3d.tracking.detection_pass import DetectionLog, FrameDetections, record_type, run_detection_pass
from smirk3d.tracking.finite import REASON, check_tracks, finite_frames
from smirk3d.tracking.gap_filling import frame_statuses, interpolate_gaps
from smirk3d.tracking.hidden_motion import shrink_hidden_motion, smooth_visibility
from smirk3d.tracking.motion import HeadMotion
from smirk3d.tracking.neutral_calibration import NeutralCalibration, neutral_calibrated
from smirk3d.tracking.portraits import with_appearances
from smirk3d.tracking.record_buffer import RecordBuffer
from smirk3d.tracking.track_solver import ClipCamera, clip_camera, coefficients, solve_identity, solve_motion
from smirk3d.tracking.untracked_frames import with_untracked_frames
from smirk3d.tracking.whittaker_smoother import SmoothConfig, smooth_motion

MIN_FRAME_WEIGHT = 0.05
"""Weight in the smoothing of a frame without confidence."""
OUTLIER_RESIDUAL_RATIO = 3.0
"""A detection is no face where its residual is so many times the person's median, and also halves the confidence."""


@dataclass(frozen=True)
class TrackOptions:
    """Settings of the tracking.

    Attributes:
        max_faces: Largest number of persons tracked at a time; None for all.
        smooth: Strength of the temporal smoothing.
        max_gap_s: Longest time between two detections that is interpolated, in seconds. Sensible: 0.2 to 1.
        min_duration_s: Shorter tracks are taken for false detections, unless there is no other, in seconds.
        calibrate: Calibration of the weights to the person, see `neutral_calibrated`.
        detector: How frames are searched for faces, see `RoiTracker`.
        trim: Tracks begin and end with a detection; otherwise every frame of the clip belongs to a track, see
            `with_untracked_frames`.

    Raises:
        ValueError: The detector's video mode is combined with several faces.
    """

    max_faces: int | None = 1
    smooth: SmoothConfig = field(default_factory=SmoothConfig)
    max_gap_s: float = 0.5
    min_duration_s: float = 0.2
    calibrate: NeutralCalibration = "none"
    detector: DetectorMode = "follow"
    trim: bool = False

    def __post_init__(self) -> None:
        if self.detector == "video" and self.max_faces != 1:
            raise ValueError(f"the detector's video mode follows one person, not {self.max_faces or 'all'}")


def track_video(
    source: FrameSource,
    reconstructor: Reconstructor,
    options: TrackOptions | None = None,
    *,
    advance: Callable[[], None] = lambda: None,
    visit: Callable[[FrameDetections], None] = lambda _: None,
) -> Clip:
    """Track the heads in a video.

    Args:
        source: The video.
        reconstructor: Its detector and its estimator are used.
        options: Settings; the defaults of `TrackOptions` by default.
        advance: Called after each frame of the detection pass.
        visit: Called with each frame and its faces in the detection pass, for what needs the pixels.

    Raises:
        NoFaceError: There is no face in the video.
        Smirk3dError: No frame can be read, or the result is not finite.
    """
    options = options or TrackOptions()
    return solve_video(source, reconstructor, options, advance=advance, visit=visit).clip(options)


@dataclass(frozen=True, eq=False)
class SolvedVideo:
    """The people of a video as they were solved frame by frame, before smoothing and calibration.

    Attributes:
        people: At least one.
        log: What the detection pass found.
        estimator: The estimator that solved the persons.
        info: Properties of the source.
        losses: What of the source could not be read, one line each.
        n_outliers: Number of detections that are no face.
    """

    people: Sequence[Person]
    log: DetectionLog
    estimator: Estimator
    info: VideoInfo
    losses: Sequence[str]
    n_outliers: int

    def clip(self, options: TrackOptions) -> Clip:
        """Return smoothed and calibrated tracks.

        Args:
            options: Settings; those of the detection have no effect any more.

        Raises:
            Smirk3dError: The result is not finite.
        """
        time_s = np.array(self.log.time_s)
        people = [_smooth_person(person, time_s, options, self.estimator.head) for person in self.people]
        clip = build_clip(people, time_s, self.log.size, self.estimator, options, self.info, self.losses)
        notes = (f"{self.n_outliers} detections that are no face left out",) if self.n_outliers else ()
        return replace(clip, notes=(*clip.notes, *notes), tracks=with_appearances(clip.tracks, self.log.album))


def solve_video(
    source: FrameSource,
    reconstructor: Reconstructor,
    options: TrackOptions,
    *,
    advance: Callable[[], None] = lambda: None,
    visit: Callable[[FrameDetections], None] = lambda _: None,
) -> SolvedVideo:
    """Detect and solve the heads in a video; arguments and errors as for `track_video`."""
    estimator = reconstructor.estimator

    def visit_and_advance(found: FrameDetections) -> None:
        visit(found)
        advance()

    with RecordBuffer(record_type(estimator)) as records:
        log = DetectionLog(records)
        run_detection_pass(
            source,
            reconstructor.detector,
            estimator,
            log,
            options.max_faces,
            mode=options.detector,
            visit=visit_and_advance,
        )
        rows, losses = _checked_records(log, source.info.name)
        camera = clip_camera(estimator, rows["record"], log.size)
        people = [_solve_person(rows[rows["person"] == k], estimator, camera) for k in np.unique(rows["person"])]
        n_outliers = len(rows) - sum(len(person.frame) for person in people)
    return SolvedVideo(people, log, estimator, source.info, losses, n_outliers)


def _checked_records(log: DetectionLog, name: str) -> tuple[np.ndarray, list[str]]:
    """Return the records of a detection pass, at least one, and what of the source could not be read."""
    if not log.time_s:
        raise Smirk3dError(log.damage or f"{name}: has no frames; name another video")
    rows, losses = log.records.read(), [log.damage] if log.damage else []
    if not len(rows):
        raise NoFaceError("; ".join([f"{name}: no face found in {len(log.time_s)} frames", *losses]))
    return rows, losses


@dataclass(frozen=True, eq=False)
class Person:
    """The estimates of one person in K frames, those with a detection, in order.

    Attributes:
        frame: (K,) int64, indices of the frames.
        score: (K,) scores of the detector in [0, 1].
        box_px: (K, 4) boxes x0, y0, x1, y1 in pixels.
        visibility: (K, 4) visible share of each region, see `Visibility`.
        shape: (S,) float32 identity coefficients.
        motion: Motion in the K frames.
        camera: The camera of the clip.
    """

    frame: np.ndarray
    score: np.ndarray
    box_px: np.ndarray
    visibility: np.ndarray
    shape: np.ndarray
    motion: HeadMotion
    camera: ClipCamera

    @property
    def confidence(self) -> np.ndarray:
        """Confidence of each frame, (K,) in [0, 1]; lower where the fit is bad or much is hidden."""
        return fit_confidence(self.score, self.motion.residual) * confidence_factor(self.visibility)


def build_clip(
    people: Sequence[Person],
    time_s: np.ndarray,
    size: tuple[int, int],
    estimator: Estimator,
    options: TrackOptions,
    info: VideoInfo,
    losses: Sequence[str],
) -> Clip:
    """Return the clip of persons, the longest track first, without tracks of a moment.

    Args:
        people: At least one.
        time_s: (T,) when each frame of the clip is shown, in seconds.
        size: (width, height) of the frames in pixels.
        estimator: The estimator that solved the persons.
        options: Settings of the tracking.
        info: Properties of the source.
        losses: What of the source could not be read, one line each.

    Raises:
        Smirk3dError: A number of a track is not finite.
    """
    ordered = sorted(people, key=lambda person: len(person.frame), reverse=True)
    kept = [p for p in ordered if time_s[p.frame[-1]] - time_s[p.frame[0]] >= options.min_duration_s] or ordered[:1]
    n_short = len(ordered) - len(kept)
    notes = (f"{n_short} faces seen for less than {options.min_duration_s:g} s left out",) if n_short else ()
    tracks = tuple(_track(k, person, time_s, estimator, options, info.rate_fps) for k, person in enumerate(kept))
    check_tracks(tracks, info.name)
    tracks = tracks if options.trim else with_untracked_frames(tracks, time_s)
    return Clip(info.name, info.rate_fps, size, len(time_s), tracks, notes, tuple(losses))


def _solve_person(rows: np.ndarray, estimator: Estimator, camera: ClipCamera) -> Person:
    """Solve a person, without detections that are no face, frequent where a face appears or disappears.

    Raises:
        Smirk3dError: No frame has finite numbers.
    """
    shape = solve_identity(estimator, rows["record"], camera)
    motion = solve_motion(estimator, rows["record"], shape, camera)
    is_finite = finite_frames(motion)
    if not is_finite.any():
        raise Smirk3dError(f"method {estimator.method!r} gives {REASON}")
    max_residual = max(OUTLIER_RESIDUAL_RATIO * float(np.median(motion.residual[is_finite])), HALF_CONFIDENCE_RESIDUAL)
    is_face = is_finite & (motion.residual <= max_residual)
    if not is_face.all():  # the outliers have spoilt the shared identity, too, so everything is solved again
        rows = rows[is_face]
        shape = solve_identity(estimator, rows["record"], camera)
        motion = solve_motion(estimator, rows["record"], shape, camera)
    return Person(rows["frame"], rows["score"], rows["box_px"], rows["visibility"], shape, motion, camera)


def _smooth_person(person: Person, time_s: np.ndarray, options: TrackOptions, head: HeadModel) -> Person:
    """Smooth each segment between long gaps by itself, calibrate all together, and shrink what is hidden."""
    first, is_detected = _detected_frames(person)
    times_s = time_s[first : first + len(is_detected)]
    is_lost = frame_statuses(is_detected, times_s, options.max_gap_s) == Status.LOST
    frame_weight = person.confidence.clip(MIN_FRAME_WEIGHT, 1)
    # Across a long gap nothing is known: what comes after it must not bend what was before it.
    segment = np.cumsum(is_lost)[is_detected]
    parts, shares = [], []
    for rows in (np.flatnonzero(segment == number) for number in np.unique(segment)):
        times_s = time_s[person.frame[rows]]
        parts.append(smooth_motion(person.motion[rows], times_s, frame_weight[rows], options.smooth))
        shares.append(smooth_visibility(person.visibility[rows], times_s, options.smooth.strength))
    motion, visibility = HeadMotion.concatenate(parts), np.concatenate(shares)
    motion = motion.replace(arkit=neutral_calibrated(motion.arkit, options.calibrate))
    return replace(person, motion=shrink_hidden_motion(head, motion, visibility), visibility=visibility)


def _detected_frames(person: Person) -> tuple[int, np.ndarray]:
    """Return a person's first frame, and whether there is a detection in each frame (T,) from it to the last."""
    first, last = int(person.frame[0]), int(person.frame[-1])
    return first, np.isin(np.arange(first, last + 1), person.frame)


def _track(
    number: int, person: Person, time_s: np.ndarray, estimator: Estimator, options: TrackOptions, rate_fps: float
) -> Track:
    """Return a person's track: the frames with a detection and those between them."""
    first, is_detected = _detected_frames(person)
    frames = np.arange(first, first + len(is_detected))
    times_s = time_s[frames]
    status = frame_statuses(is_detected, times_s, options.max_gap_s)
    values = _frame_values(person, interpolate_gaps(person.motion, is_detected, times_s), frames, estimator)
    for value in values.values():
        value[status == Status.LOST] = np.nan
    return Track(
        number=number,
        frame=frames,
        time_s=times_s,
        status=status,
        shape=person.shape,
        center_px=np.array(person.camera.size, dtype=np.float32) / 2,
        focal_px=person.camera.focal_px,
        image_size=person.camera.size,
        rate_fps=rate_fps,
        method=estimator.method,
        head_id=register(estimator.head),
        appearance=None,
        **values,
    )


def _frame_values(
    person: Person, motion: HeadMotion, frames: np.ndarray, estimator: Estimator
) -> dict[str, np.ndarray]:
    """Return the float32 values of all T frames by field of `Track`; interpolated frames have confidence 0."""
    confidence = np.zeros(len(frames))
    confidence[np.isin(frames, person.frame)] = person.confidence
    values = coefficients(estimator.head, motion, person.shape) | {
        "arkit": motion.arkit,
        "rotation_rotmat": motion.rotmat,
        "translation_m": motion.translation_m(person.camera.focal_px),
        "scale_px_per_m": motion.scale_px_per_m,
        "confidence": confidence,
        "residual_percent": 100 * motion.residual,
        "box_px": np.stack([np.interp(frames, person.frame, column) for column in person.box_px.T], axis=1),
        "visibility": np.stack([np.interp(frames, person.frame, column) for column in person.visibility.T], axis=1),
    }
    return {name: np.array(values[name], dtype=np.float32) for name in FRAME_FIELDS}
