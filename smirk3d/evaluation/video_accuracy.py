"""Tracking accuracy on rendered clips of which every frame is known: people who talk, blink, smile and turn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from smirk3d.evaluation.clips import FPS, TalkingMotion, talking_motion, write_talking_clip
from smirk3d.evaluation.data import EvaluationData
from smirk3d.evaluation.method_under_test import MethodUnderTest
from smirk3d.evaluation.result import Figure, Result, values_of
from smirk3d.evaluation.tracked_clips import rotation_errors_deg, track_clip
from smirk3d.geometry.euler import rotation_from_angles
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.track import Track

MIN_RANGE, STRONG_RANGE = 0.05, 0.4
"""Ranges of a weight over the clip above which a blendshape counts as active, and as strong."""
HIGH_CORRELATION = 0.9
MAX_LAG = 3
FIGURES = (
    Figure("strong_correlation", better="higher"),
    Figure("strong_count"),
    Figure("strong_high_count", better="higher"),
    Figure("max_lag_frames", "frames", "lower"),
    Figure("rest_mean", better="lower"),
    Figure("rest_max", better="lower"),
    Figure("blink_depth_mean", better="higher"),
    Figure("blink_depth_min", better="higher"),
    Figure("pose_error_deg", "deg", "lower"),
    Figure("pose_error_max_deg", "deg", "lower"),
    Figure("pose_offset_deg", "deg"),
)


@dataclass(frozen=True, eq=False)
class ClipAccuracy:
    """How close a track is to the ground truth.

    Attributes:
        correlation: (52,) over the frames, NaN for blendshapes that are not active.
        lag_frames: (52,) delay with the highest correlation, frames, NaN likewise.
        range_ratio: (52,) predicted over true range, NaN likewise.
        is_strong: (52,) bool.
        rest_mean: Mean weight of blendshapes that never move.
        rest_max: Their largest weight.
        blink_depths: (K,) largest predicted weight about the K blinks of both eyes.
        pose_errors_deg: (T,) degrees, without the constant offset.
        pose_offset_deg: Constant offset, degrees.
    """

    correlation: np.ndarray
    lag_frames: np.ndarray
    range_ratio: np.ndarray
    is_strong: np.ndarray
    rest_mean: float
    rest_max: float
    blink_depths: np.ndarray
    pose_errors_deg: np.ndarray
    pose_offset_deg: float


class VideoAccuracyMeasure:
    """See `clip_accuracy`; --people, --seconds, --smooth and --keep apply."""

    name = "video-accuracy"
    summary = "tracking of rendered people who talk, blink, smile and turn, against the ground truth"
    needs = frozenset({"reconstruction"})
    figures = FIGURES
    is_default = False

    def run(self, method: MethodUnderTest, data: EvaluationData) -> Iterator[Result]:
        """Yield one result over all clips; the first one has the seed of the options, each other one the next."""
        clips, reconstructor = data.options.clips, data.reconstructor()
        motion = talking_motion(round(clips.seconds * FPS))
        found: dict[str, ClipAccuracy] = {}
        with data.progress(self.name, clips.people) as display:
            for number in range(clips.people):
                name = f"talking_{number}"
                path = data.clip_folder / f"{name}.mp4"
                write_talking_clip(path, motion, data.options.seed + number)
                found[name] = clip_accuracy(track_clip(data, path, reconstructor), motion)
                display.advance()
        yield accuracy_result(method.method, found)


def clip_accuracy(track: Track, motion: TalkingMotion) -> ClipAccuracy:
    """Compare a track with the ground truth.

    Args:
        track: Of T frames of the clip.
        motion: What was rendered, all frames of the clip.
    """
    rows = slice(int(track.frame[0]), int(track.frame[-1]) + 1)
    truth = motion.weights[rows]
    truth_range = np.ptp(truth, axis=0)
    columns = np.full((3, len(ARKIT_NAMES)), np.nan)
    for k in np.flatnonzero(truth_range > MIN_RANGE):
        predicted = track.arkit[:, k]
        columns[:, k] = (
            np.corrcoef(predicted, truth[:, k])[0, 1],
            lag_frames(predicted, truth[:, k]),
            np.ptp(predicted) / truth_range[k],
        )
    rest = track.arkit[:, truth_range == 0]
    true_rotation = torch.from_numpy(np.stack([rotation_from_angles(*angles) for angles in motion.angles_deg[rows]]))
    errors, offset = rotation_errors_deg(torch.from_numpy(track.rotation_rotmat).double() @ true_rotation.mT)
    return ClipAccuracy(
        correlation=columns[0],
        lag_frames=columns[1],
        range_ratio=columns[2],
        is_strong=truth_range >= STRONG_RANGE,
        rest_mean=float(rest.mean()),
        rest_max=float(rest.max()),
        blink_depths=_blink_depths(track, truth),
        pose_errors_deg=errors,
        pose_offset_deg=offset,
    )


def lag_frames(predicted: np.ndarray, truth: np.ndarray) -> int:
    """Return by how many frames a prediction is late: the shift of highest correlation, in -`MAX_LAG`..`MAX_LAG`.

    Args:
        predicted: (T,) weights.
        truth: (T,) weights.
    """
    inner = slice(MAX_LAG + 1, -MAX_LAG - 1)  # rows that no shift wraps around

    def correlation(lag: int) -> float:
        return np.corrcoef(np.roll(predicted, -lag)[inner], truth[inner])[0, 1]

    return max(range(-MAX_LAG, MAX_LAG + 1), key=correlation)


def _blink_depths(track: Track, truth: np.ndarray) -> np.ndarray:
    """Return the largest weight within a frame of each blink of each eye."""
    depths = []
    for k in (ARKIT_NAMES.index(name) for name in ("eyeBlinkLeft", "eyeBlinkRight")):
        depths += [track.arkit[max(peak - 1, 0) : peak + 2, k].max() for peak in np.flatnonzero(truth[:, k] == 1)]
    return np.array(depths)


def accuracy_result(method: str, found: dict[str, ClipAccuracy]) -> Result:
    """Return the figures of several clips: means, and the worst of what is a maximum.

    Args:
        method: Name of the method.
        found: Accuracy by the name of the clip.
    """
    clips: Sequence[ClipAccuracy] = list(found.values())
    strong = np.concatenate([clip.correlation[clip.is_strong] for clip in clips])
    lags = np.stack([clip.lag_frames for clip in clips])
    blinks = np.concatenate([clip.blink_depths for clip in clips])
    numbers = {
        "strong_correlation": float(strong.mean()),
        "strong_count": len(strong),
        "strong_high_count": int((strong >= HIGH_CORRELATION).sum()),
        "max_lag_frames": float(np.nanmax(np.abs(lags))),
        "rest_mean": float(np.mean([clip.rest_mean for clip in clips])),
        "rest_max": max(clip.rest_max for clip in clips),
        "blink_depth_mean": float(blinks.mean()) if len(blinks) else float("nan"),
        "blink_depth_min": float(blinks.min()) if len(blinks) else float("nan"),
        "pose_error_deg": float(np.mean([clip.pose_errors_deg.mean() for clip in clips])),
        "pose_error_max_deg": float(max(clip.pose_errors_deg.max() for clip in clips)),
        "pose_offset_deg": float(np.mean([clip.pose_offset_deg for clip in clips])),
    }
    columns = {
        "correlation": np.mean([clip.correlation for clip in clips], axis=0),
        "lag_frames": lags.mean(axis=0),
        "range_ratio": np.mean([clip.range_ratio for clip in clips], axis=0),
    }
    by_sample = {name: float(clip.pose_errors_deg.mean()) for name, clip in found.items()}
    return Result(
        "video-accuracy",
        method,
        len(clips),
        values_of(FIGURES, numbers),
        columns,
        by_sample,
        worst="low",
    )
