"""Taking the jitter out of curves without taking the blinks out.

A curve is found that stays near the values and bends little (Whittaker 1923); where the values bend more than their
noise can explain, bending costs nothing, so that a blink, a plosive or a nod passes as it is. The whole clip is
solved at once, which makes the result symmetric in time: nothing lags.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import roma
import torch

from smirk3d.head.arkit import ARKIT_NAMES, GAZE_NAMES
from smirk3d.tracking.gaze_hold import interpolate_gaze_through_blinks
from smirk3d.tracking.motion import Motion

TIME_SCALE_S = 0.06
"""Time over which noise is averaged at strength 1."""
GAZE_TIME_SCALE_S = 0.2
"""The same of the gaze: eyes rest on something or jump."""
NOISE_DIFFERENCE_ORDER = 6
"""Which differences of the values tell their noise."""
NOISE_QUANTILE, NORMAL_QUANTILE = 0.25, 0.3186
"""Quantile of these that tells their noise, and the same of a standard normal's magnitude."""
SECOND_DIFFERENCE_GAIN = np.sqrt(6.0)
"""Standard deviation of second differences over that of the noise."""
MOTION_THRESHOLD = 1.5
"""Second differences of so many standard deviations are motion."""
REWEIGHTING_ITERATIONS = 3
"""Solves; each looks anew at where the curve bends."""
OUTLIER_THRESHOLD, OUTLIER_WIDTHS, OUTLIER_ITERATIONS = 8.0, (1, 2), 3
"""How many standard deviations of the noise a spike is off, how many frames it lasts, and how often such are sought."""
OUTLIER_MARGIN = 3
"""Frames beside a spike in which it is felt."""
MIN_DIFFERENCE = 1e-3
"""Sixth differences of less are those of a value that does not change."""
NOISE_RANGES = {"weight": (0.002, 0.04), "angle": (0.0005, 0.02), "place": (0.05, 1.0), "scale": (0.0002, 0.005)}
"""Least and largest noise that is believed: of weights; radians; pixels; logarithm of the scale."""
_GAZE_COLUMNS = {
    side: [ARKIT_NAMES.index(name) for name in GAZE_NAMES if name.endswith(side)] for side in ("Left", "Right")
}
_EYE_ROTATION_COLUMNS = {"Left": [0, 1, 2], "Right": [3, 4, 5]}
"""Columns of `Motion.own["eyes"]`."""


@dataclass(frozen=True)
class SmoothConfig:
    """How much is smoothed."""

    strength: float = 1.0
    """Multiple of the usual reach in time; 0 leaves everything as it is."""

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 10:
            raise ValueError(f"strength must be in [0, 10], not {self.strength}")


def smooth_motion(motion: Motion, time_s: np.ndarray, trust: np.ndarray, config: SmoothConfig) -> Motion:
    """Return a smoother motion.

    Args:
        motion: T frames. time_s: (T,) when they are shown.
        trust: (T,) in (0, 1]; a frame of little trust is led by its neighbours.
        config: how much.
    """
    if config.strength == 0 or len(motion) < 3:
        return motion

    def smooth(values: np.ndarray, kind: str, reach_s: float = TIME_SCALE_S) -> np.ndarray:
        # Heads have mass: one that is off for a frame or two is the detector's error. Lids and lips do move that fast.
        values = values if kind == "weight" else remove_outliers(values, NOISE_RANGES[kind])
        return smooth_curves(values, time_s, trust, reach_s * config.strength, NOISE_RANGES[kind])

    middle = motion.rotmat[len(motion) // 2]
    turns = torch.from_numpy(motion.rotmat @ middle.T)
    angles = unwrap_rotvecs(roma.rotmat_to_rotvec(turns).numpy())
    rotmat = roma.rotvec_to_rotmat(torch.from_numpy(smooth(angles, "angle"))).numpy() @ middle
    arkit = smooth(motion.arkit, "weight")
    own = {name: values.copy() if name == "eyes" else smooth(values, "weight") for name, values in motion.own.items()}
    for side, columns in _GAZE_COLUMNS.items():
        blink = motion.arkit[:, ARKIT_NAMES.index(f"eyeBlink{side}")]
        gaze = interpolate_gaze_through_blinks(motion.arkit[:, columns], blink, time_s)
        arkit[:, columns] = smooth(gaze, "weight", GAZE_TIME_SCALE_S)
        if "eyes" in own:
            gaze = interpolate_gaze_through_blinks(own["eyes"][:, _EYE_ROTATION_COLUMNS[side]], blink, time_s)
            own["eyes"][:, _EYE_ROTATION_COLUMNS[side]] = smooth(gaze, "weight", GAZE_TIME_SCALE_S)
    return motion.replace(
        arkit=arkit.clip(0, 1),
        own=own,
        rotmat=rotmat,
        offset_px=smooth(motion.offset_px, "place"),
        scale_px_per_m=np.exp(smooth(np.log(motion.scale_px_per_m)[:, None], "scale")[:, 0]),
    )


def smooth_curves(
    values: np.ndarray, time_s: np.ndarray, trust: np.ndarray, reach_s: float, noise_range: tuple[float, float]
) -> np.ndarray:
    """Return smooth curves through values (T, C) at times (T,).

    Minimises `sum trust (x - y)^2 + sum stiffness w (second difference of x)^2` for each column, with w small where
    the curve bends by more than noise can.

    Args:
        values: y. time_s: increasing. trust: (T,) in (0, 1]. reach_s: about the time that is averaged over.
        noise_range: least and largest standard deviation of the noise to believe.
    """
    from scipy.linalg import solveh_banded

    step_s = float(np.median(np.diff(time_s)))
    bend = _second_differences(np.diff(time_s) / step_s)
    stiffness = (reach_s / step_s) ** 4
    noise = _noise_std(values).clip(*noise_range)
    result = np.array(values, dtype=np.float64)
    for _ in range(REWEIGHTING_ITERATIONS):
        for column in range(values.shape[1]):
            bends = _apply_second_differences(bend, result[:, column]) / (
                MOTION_THRESHOLD * SECOND_DIFFERENCE_GAIN * noise[column]
            )
            banded = _banded_penalty(bend, stiffness / (1 + bends**2) ** 4)
            banded[-1] += trust
            result[:, column] = solveh_banded(banded, trust * values[:, column])
    return result


def remove_outliers(values: np.ndarray, noise_range: tuple[float, float]) -> np.ndarray:
    """Return values (T, C) without spikes: one or two that are far from the cubic through their four neighbours.

    Args:
        values: at even steps. noise_range: least and largest standard deviation of the noise to believe.
    """
    values = np.array(values, dtype=np.float64)
    if len(values) < NOISE_DIFFERENCE_ORDER + 1:
        return values
    limit = OUTLIER_THRESHOLD * _noise_std(values).clip(*noise_range)
    for _ in range(OUTLIER_ITERATIONS):
        mended = np.zeros(len(values), dtype=bool)
        found = [spike for width in OUTLIER_WIDTHS for spike in _find_outliers(values, width, limit)]
        for spike in sorted(found, key=lambda spike: -spike.size):
            # What lies near a spike seems to be one as well, by less than itself.
            if not mended[max(spike.first - OUTLIER_MARGIN, 0) : spike.stop + OUTLIER_MARGIN].any():
                values[spike.first : spike.stop] = spike.between
                mended[spike.first : spike.stop] = True
    return values


@dataclass(frozen=True, eq=False)
class _Outlier:
    """Values that stand alone. size: how many limits they are off. first: frame. between: (W, C) what may be there."""

    size: float
    first: int
    between: np.ndarray

    @property
    def stop(self) -> int:
        return self.first + len(self.between)


def _find_outliers(values: np.ndarray, width: int, limit: np.ndarray) -> list[_Outlier]:
    """Return what stands alone for `width` frames."""
    runs = np.lib.stride_tricks.sliding_window_view(values, width + 4, axis=0)  # (T - width - 3, C, width + 4)
    between = runs[..., [0, 1, -2, -1]] @ _cubic_interpolation_matrix(width)
    off = (np.abs(runs[..., 2:-2] - between) / limit[:, None]).min(axis=2).max(axis=1)
    return [_Outlier(float(off[at]), int(at) + 2, between[at].T) for at in np.flatnonzero(off > 1)]


def _cubic_interpolation_matrix(width: int) -> np.ndarray:
    """Return the matrix (4, width) from two values on either side of a run to the cubic's values in it."""
    places = np.array([-2, -1, width, width + 1], dtype=np.float64)
    return np.linalg.solve(np.vander(places).T, np.vander(np.arange(width, dtype=np.float64), 4).T)


def _second_differences(steps: np.ndarray) -> np.ndarray:
    """Return the coefficients (3, T - 2) of second differences at uneven steps (T - 1,); (1, -2, 1) at steps of 1."""
    before, after = steps[:-1], steps[1:]
    return np.stack([1 / before, -1 / before - 1 / after, 1 / after])


def _apply_second_differences(bend: np.ndarray, values: np.ndarray) -> np.ndarray:
    return bend[0] * values[:-2] + bend[1] * values[1:-1] + bend[2] * values[2:]


def _noise_std(values: np.ndarray) -> np.ndarray:
    """Return the standard deviation (C,) of the noise of values (T, C), told from the calmer moments.

    High differences tell noise from motion: of white noise each one more makes nearly twice as much, of motion less.
    """
    order = min(NOISE_DIFFERENCE_ORDER, len(values) - 1)
    gain = math.sqrt(math.comb(2 * order, order))
    bends = np.abs(np.diff(values, order, axis=0))
    # Where a weight rests at its bound there is no noise to be seen.
    moving = np.where(bends > MIN_DIFFERENCE, bends, np.nan)
    moving[:, np.isnan(moving).all(axis=0)] = 0
    return np.nanquantile(moving, NOISE_QUANTILE, axis=0) / (NORMAL_QUANTILE * gain)


def _banded_penalty(bend: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the matrix B' W B of second differences B as LAPACK wants it: (3, T), the diagonal last."""
    banded = np.zeros((3, bend.shape[1] + 2))
    for first in range(3):
        for second in range(first, 3):
            apart = second - first
            # Entry (row + first, row + second) of the matrix is in column row + second.
            banded[2 - apart, second : second + bend.shape[1]] += weight * bend[first] * bend[second]
    return banded


def unwrap_rotvecs(rotvecs: np.ndarray) -> np.ndarray:
    """Return rotation vectors (T, 3) in radians without jumps by a whole turn."""
    result = np.array(rotvecs)
    for k in range(1, len(result)):
        angle = np.linalg.norm(result[k])
        if angle > 1e-6:
            other = result[k] * (1 - 2 * np.pi / angle)
            if np.linalg.norm(other - result[k - 1]) < np.linalg.norm(result[k] - result[k - 1]):
                result[k] = other
    return result
