"""Video in, tracks out: watch it once, then solve each person as a whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from smirk3d.clip import FRAME_FIELDS, Clip, Status, Track
from smirk3d.errors import NoFaceError, Smirk3dError
from smirk3d.pipeline.faces import HALF_CONFIDENCE_RESIDUAL
from smirk3d.pipeline.reconstruct import Reconstructor
from smirk3d.video.calibrate import Calibration, calibrated
from smirk3d.video.decode import FrameSource
from smirk3d.video.gaps import bridged, statuses, stretches
from smirk3d.video.motion import Motion
from smirk3d.video.smooth import SmoothConfig, smooth_motion
from smirk3d.video.solver import TrackSolver, View, coefficients, track_solver
from smirk3d.video.spool import Spool
from smirk3d.video.watch import Watched, record_type, watch

LEAST_TRUST = 0.05
"""Say in the smoothing of a frame that is filled in, or of one of no confidence."""


@dataclass(frozen=True)
class TrackOptions:
    """How a video becomes tracks."""

    most_faces: int | None = 1
    """People followed at a time; None for all."""
    smooth: SmoothConfig = field(default_factory=SmoothConfig)
    max_gap_s: float = 0.5
    """Longest time between two sightings of a face that is bridged."""
    least_s: float = 0.2
    """Tracks shorter than this are taken for false alarms, unless there is no other."""
    calibrate: Calibration = "none"


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
    solver = track_solver(reconstructor.estimator)
    with Spool(record_type(solver)) as spool:
        watched = Watched(spool)
        watch(source, reconstructor.detector, solver, watched, options.most_faces, advance=advance)
        if not watched.time_s:
            raise Smirk3dError(watched.damage or f"{source.info.name}: has no frames; name another video")
        rows = spool.read()
        if not len(rows):
            raise NoFaceError(f"{source.info.name}: no face found in {len(watched.time_s)} frames")
        tracks, notes = _tracks(rows, watched, solver, options, source.info.rate_fps)
    notes = [watched.damage, *notes] if watched.damage else notes
    return Clip(source.info.name, source.info.rate_fps, watched.size, len(watched.time_s), tuple(tracks), tuple(notes))


def _tracks(
    rows: np.ndarray, watched: Watched, solver: TrackSolver, options: TrackOptions, rate_fps: float
) -> tuple[list[Track], list[str]]:
    time_s = np.array(watched.time_s)
    places = [np.flatnonzero(rows["person"] == person) for person in np.unique(rows["person"])]
    places.sort(key=len, reverse=True)
    length_s = [time_s[rows["frame"][index[-1]]] - time_s[rows["frame"][index[0]]] for index in places]
    kept = [index for index, s in zip(places, length_s) if s >= options.least_s] or places[:1]
    short = len(places) - len(kept)
    view = solver.view(rows["reading"], watched.size)
    tracks = [_track(number, rows[index], time_s, solver, view, options, rate_fps) for number, index in enumerate(kept)]
    return tracks, [f"{short} faces seen for less than {options.least_s:g} s left out"] if short else []


def _track(
    number: int,
    rows: np.ndarray,
    time_s: np.ndarray,
    solver: TrackSolver,
    view: View,
    options: TrackOptions,
    rate_fps: float,
) -> Track:
    """Solve one person's records."""
    first, last = int(rows["frame"][0]), int(rows["frame"][-1])
    frames = np.arange(first, last + 1)
    seen = np.isin(frames, rows["frame"])
    time_s = time_s[first : last + 1]
    status = statuses(seen, time_s, options.max_gap_s)
    shape = solver.identity(rows["reading"], view)
    motion = solver.solve(rows["reading"], shape, view)
    confidence = rows["score"] / (1 + (motion.residual / HALF_CONFIDENCE_RESIDUAL) ** 2)
    motion = bridged(motion, seen, time_s)
    trust = np.full(len(frames), LEAST_TRUST)
    trust[seen] = confidence.clip(LEAST_TRUST, 1)
    motion = _refined(motion, status != Status.LOST, time_s, trust, options)
    values = coefficients(solver, motion, shape) | {
        "arkit": motion.arkit,
        "rotation_rotmat": motion.rotmat,
        "translation_m": motion.translation_m(view.focal_px),
        "scale_px_per_m": motion.scale_px_per_m,
        "confidence": np.where(seen, np.interp(frames, rows["frame"], confidence), 0.0),
        "residual_percent": 100 * motion.residual,
        "box_px": np.stack([np.interp(frames, rows["frame"], column) for column in rows["box_px"].T], axis=1),
    }
    values = {name: np.array(values[name], dtype=np.float32) for name in FRAME_FIELDS}
    for value in values.values():
        value[status == Status.LOST] = np.nan
    return Track(
        number=number,
        frame=frames,
        time_s=time_s,
        status=status,
        shape=shape,
        center_px=np.array(view.size, dtype=np.float32) / 2,
        focal_px=view.focal_px,
        image_size=view.size,
        rate_fps=rate_fps,
        method=solver.method,
        head=solver.head,
        **values,
    )


def _refined(motion: Motion, known: np.ndarray, time_s: np.ndarray, trust: np.ndarray, options: TrackOptions) -> Motion:
    """Smooth each stretch in which the face is known, and calibrate them together."""
    columns = {name: np.array(getattr(motion, name)) for name in ("arkit", "rotmat", "offset_px", "scale_px_per_m")}
    own = {name: np.array(values) for name, values in motion.own.items()}
    for rows in stretches(known):
        part = Motion(
            **{name: values[rows] for name, values in columns.items()},
            residual=motion.residual[rows],
            own={name: values[rows] for name, values in own.items()},
        )
        smooth = smooth_motion(part, time_s[rows], trust[rows], options.smooth)
        for name, values in columns.items():
            values[rows] = getattr(smooth, name)
        for name, values in own.items():
            values[rows] = smooth.own[name]
    columns["arkit"][known] = calibrated(columns["arkit"][known], options.calibrate)
    return motion.replace(**columns, own=own)
