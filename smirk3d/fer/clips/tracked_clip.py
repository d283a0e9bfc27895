"""A clip on disk or from a camera to the features of its frames: tracking, face windows, expression vectors."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from smirk3d.errors import NoFaceError
from smirk3d.estimation.reconstructor import Reconstructor
from smirk3d.fer.clips.frame_features import frame_features, resampled
from smirk3d.fer.detected_faces import DetectedFaces, TrackExpressions
from smirk3d.media.video import FrameSource
from smirk3d.track import Clip
from smirk3d.tracking.track_video import TrackOptions, track_video


@dataclass(frozen=True, eq=False)
class TrackedClip:
    """The person who is longest in a clip.

    Attributes:
        features: (S, D) float32 at `smirk3d.fer.clips.frame_features.RATE_FPS`.
        times_s: (S,) when these are, in seconds from the first frame.
        thumbnails: (K, 72, 72, 3) uint8 RGB pictures of the face.
        thumbnail_s: (K,) when these are.
        losses: Parts of the clip that could not be read, one line each.
    """

    features: np.ndarray
    times_s: np.ndarray
    thumbnails: np.ndarray = field(repr=False)
    thumbnail_s: np.ndarray = field(repr=False)
    losses: tuple[str, ...] = ()


def track_clip(
    source: FrameSource,
    reconstructor: Reconstructor,
    *,
    expression: str | os.PathLike[str] | None = None,
    advance: Callable[[], None] = lambda: None,
) -> TrackedClip:
    """Track a clip and read its frames.

    Args:
        source: The clip.
        reconstructor: Its detector and its estimator are used.
        expression: Weights of the expression network; None: the packaged ones.
        advance: Called after each frame.

    Raises:
        NoFaceError: There is no face in the clip.
        Smirk3dError: No frame can be read, or the network cannot be read.
    """
    faces = DetectedFaces(expression, with_vectors=True)
    clip = track_video(source, reconstructor, TrackOptions(max_faces=1), advance=advance, visit=faces.add)
    return longest_person(clip, faces.of_track(clip.tracks[0]))


def longest_person(clip: Clip, expressions: TrackExpressions) -> TrackedClip:
    """Return the person who is longest in a clip.

    Args:
        clip: Its first track is the person, with weights that are not calibrated.
        expressions: Of that track, with vectors.

    Raises:
        NoFaceError: The person was detected in no frame.
    """
    track = clip.tracks[0]
    if not np.isfinite(expressions.vectors).all(axis=1).any():
        raise NoFaceError(f"{clip.source}: no face found")
    features = frame_features(expressions.vectors, track.arkit, track.angles_deg)
    sampled, times_s = resampled(features, track.time_s)
    return TrackedClip(sampled, times_s, expressions.thumbnails, expressions.thumbnail_s, clip.losses)
