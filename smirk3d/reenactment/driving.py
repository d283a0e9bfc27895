"""Where an expression over time comes from: a video, a clip, a table of weights, or a photo of somebody."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from smirk3d.assets import printable
from smirk3d.errors import Smirk3dError
from smirk3d.estimation.reconstructor import DetectedPhoto, Reconstructor
from smirk3d.export.tables.expression_file import TABLE_SUFFIXES, read_expressions
from smirk3d.export.tables.motion_file import read_motion
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.media.images import IMAGE_SUFFIXES
from smirk3d.media.video import FrameSource, open_source
from smirk3d.track import Clip
from smirk3d.tracking.track_video import TrackOptions, track_video

FILE_SUFFIXES = (*TABLE_SUFFIXES, ".npz", ".json", ".txt", ".frame")
RATE_FPS = 30.0
"""Frame rate of tables that state none."""


@dataclass(frozen=True, eq=False)
class Driving:
    """Weights over time.

    Attributes:
        name: What messages call it.
        weights: (T, 52) float64 in [0, 1] in Apple's order; frames without a face hold the last pose.
        rotations: (T, 3, 3) head frame to camera frame; None where they are not known.
        time_s: (T,) times of the frames in seconds from the first one.
        rate_fps: Nominal frames a second.
        video: The video, for its frames and its audio; None for others.
        picture: (H, W, 3) uint8, the photo; None for others.
        notes: Remarks for the user, one line each.
        losses: What could not be read, one line each.
    """

    name: str
    weights: np.ndarray
    rotations: np.ndarray | None
    time_s: np.ndarray
    rate_fps: float
    video: FrameSource | None = None
    picture: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.weights)


def is_photo(path: str) -> bool:
    """Return whether a name is that of a photo."""
    return Path(path).suffix.lower() in IMAGE_SUFFIXES - {".gif"}


def is_table(path: str) -> bool:
    """Return whether a name is that of a file with weights."""
    return Path(path).suffix.lower() in FILE_SUFFIXES


def photo_driving(path: str, reconstructor: Reconstructor) -> Driving:
    """Return the expression of the largest face of a photo.

    Raises:
        NoFaceError: There is none.
        Smirk3dError: The photo cannot be read.
    """
    found = reconstructor.read_and_detect(path)
    face = reconstructor.solve([DetectedPhoto(found.photo, found.detections[:1])])[0][0]
    weights = np.array([[face.arkit[name] for name in ARKIT_NAMES]])
    return Driving(printable(path), weights, face.rotation[None], np.zeros(1), RATE_FPS, picture=found.photo.pixels)


def table_driving(path: str) -> Driving:
    """Return the weights of a file that `retarget` reads, with the turns of the head and the times that it has.

    Raises:
        Smirk3dError: It cannot be read, or has no ARKit weights.
    """
    content = read_expressions(path)
    if "arkit" not in content.arrays:
        raise Smirk3dError(
            f"{printable(path)}: holds coefficients of a head, not ARKit weights; convert it first with "
            "smirk3d retarget --to arkit"
        )
    # Further faces and tracks have names that end in #k.
    own = np.array(["#" not in name for name in content.frames])
    if own.all():
        return _motion_driving(path)
    rows = own if own.any() else np.ones(len(own), bool)
    weights, rate = content.arrays["arkit"][rows].astype(np.float64).clip(0, 1), content.rate_fps or RATE_FPS
    return Driving(printable(path), weights, None, np.arange(len(weights)) / rate, rate, notes=content.notes)


def _motion_driving(path: str) -> Driving:
    """Return the motion of one person in a file, at a steady rate; where the face was lost, the last pose holds."""
    found = read_motion(path, None, lambda content: content.arrays["arkit"])
    key_s = found.keys.time_s - found.keys.time_s[0]
    step_s = float(np.median(np.diff(key_s))) if len(key_s) > 1 else 1 / RATE_FPS
    time_s = key_s
    if len(key_s) > 1 and np.diff(key_s).max() > 1.5 * step_s:  # a gap without a face, or photos at odd times
        time_s = np.arange(round(key_s[-1] / step_s) + 1) * step_s
    held = np.searchsorted(key_s, time_s + step_s / 2) - 1
    rotations = found.keys.rotation_rotmat
    return Driving(
        printable(path),
        found.keys.arkit[held],
        None if rotations is None else rotations[held],
        time_s,
        1 / step_s,
        notes=(found.note,) if found.note else (),
    )


def video_driving(path: str, reconstructor: Reconstructor, advance: Callable[[], None] = lambda: None) -> Driving:
    """Track the person in a video.

    Args:
        path: The video, or a folder of frames.
        reconstructor: Fits the heads.
        advance: Called after each frame.

    Raises:
        NoFaceError: There is no face in it.
        Smirk3dError: It cannot be read.
    """
    source = open_source(path)
    clip = track_video(source, reconstructor, TrackOptions(calibrate="rest"), advance=advance)
    return clip_driving(clip, source)


def clip_driving(clip: Clip, source: FrameSource) -> Driving:
    """Return the motion of a clip; where tracks follow each other, as at cuts, that of whoever is seen."""
    weights = np.full((clip.n_frames, len(ARKIT_NAMES)), np.nan)
    rotations = np.full((clip.n_frames, 3, 3), np.nan)
    time_s = np.arange(clip.n_frames) / clip.rate_fps
    for track in reversed(clip.tracks):
        rows = track.frame[track.known]
        weights[rows], rotations[rows] = track.arkit[track.known], track.rotation_rotmat[track.known]
        time_s[track.frame] = track.time_s
    if (np.diff(time_s) <= 0).any():
        time_s = np.arange(clip.n_frames) / clip.rate_fps
    known = np.flatnonzero(np.isfinite(weights).all(axis=1))
    held = known[(np.searchsorted(known, np.arange(clip.n_frames), side="right") - 1).clip(0)]
    return Driving(
        printable(clip.source),
        weights[held].clip(0, 1),
        rotations[held],
        time_s,
        clip.rate_fps,
        video=source,
        notes=clip.notes,
        losses=clip.losses,
    )
