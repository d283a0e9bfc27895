"""Offline smoothing of a head's motion: an adaptive Whittaker smoother that keeps blinks.

A Whittaker smoother minimises the distance to the values plus a penalty on second differences (E. T. Whittaker, "On a
new method of graduation", Proceedings of the Edinburgh Mathematical Society 41, 1923; P. H. C. Eilers, "A perfect
smoother", Analytical Chemistry 75, 2003). Here the penalty falls where the curve bends more than its noise explains,
so that a blink, a plosive or a nod keeps its shape. All frames are solved together: the result is symmetric in time
and has no lag. See also docs/method.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from smirk3d.geometry.rotations import rotmat_to_rotvec, rotvec_to_rotmat
from smirk3d.head.arkit import ARKIT_NAMES, GAZE_NAMES
from smirk3d.tracking.gaze_hold import interpolate_gaze_through_blinks
from smirk3d.tracking.motion import HeadMotion

TIME_SCALE_S = 0.06
"""Time over which noise is averaged at strength 1."""
GAZE_TIME_SCALE_S = 0.2
"""The same for gaze, which either rests on a target or jumps to the next."""
NOISE_DIFFERENCE_ORDER = 6
"""Order of the differences from which the noise is estimated."""
NOISE_QUANTILE, NORMAL_QUANTILE = 0.25, 0.3186
"""Quantile of the absolute differences that estimates the noise, and this quantile of |x| for a standard normal x."""
SECOND_DIFFERENCE_GAIN = np.sqrt(6.0)
"""Standard deviation of the second differences (1, -2, 1) of white noise, over that of the noise."""
MOTION_THRESHOLD = 1.5
"""Second differences of so many standard deviations are taken for motion."""
REWEIGHTING_ITERATIONS = 3
"""Solves; each adapts the penalty to the curvature of the previous solution."""
OUTLIER_THRESHOLD, OUTLIER_WIDTHS, OUTLIER_ITERATIONS = 8.0, (1, 2), 3
"""Distance of an outlier in standard deviations of the noise; its length in frames; passes over the values."""
OUTLIER_MARGIN = 3
"""Frames beside an outlier that it makes look like outliers."""
MIN_DIFFERENCE = 1e-3
"""Smaller differences are those of a constant value and carry no information on the noise."""
NOISE_RANGES = {"weight": (0.002, 0.04), "angle": (0.0005, 0.02), "offset": (0.05, 1.0), "scale": (0.0002, 0.005)}
"""Limits of the estimated standard deviation of the noise: of weights; in radians; in pixels; of the logarithm."""
_GAZE_COLUMNS = {
    side: [ARKIT_NAMES.index(name) for name in GAZE_NAMES if name.endswith(side)] for side in ("Left", "Right")
}
_EYE_ROTATION_COLUMNS = {"Left": [0, 1, 2], "Right": [3, 4, 5]}
"""Columns of `HeadMotion.native["eyes"]`."""


@dataclass(frozen=True)
class SmoothConfig:
    """Setting of the smoother.

    Attributes:
        strength: Factor on the time scale, in [0, 10]; 0 keeps the raw estimates. Sensible: 0.5 to 2.
    """

    strength: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 10:
            raise ValueError(f"strength must be in [0, 10], not {self.strength}")


def smooth_motion(motion: HeadMotion, time_s: np.ndarray, frame_weight: np.ndarray, config: SmoothConfig) -> HeadMotion:
    """Return a smoothed motion; motions of less than three frames are returned as they are.

    Args:
        motion: T frames.
        time_s: (T,) when the frames are shown, in seconds, increasing.
        frame_weight: (T,) in (0, 1]; a frame of low weight follows its neighbours.
        config: How strongly to smooth.
    """
    if config.strength == 0 or len(motion) < 3:
        return motion

    def smooth(values: np.ndarray, kind: str, time_scale_s: float = TIME_SCALE_S) -> np.ndarray:
        # A head has mass: a pose that is off for a frame or two is a detection error. Lids and lips do move that fast.
        values = values if kind == "weight" else remove_outliers(values, NOISE_RANGES[kind])
        return smooth_curves(values, time_s, frame_weight, time_scale_s * config.strength, NOISE_RANGES[kind])

    # Rotation vectors relative to a frame of the clip: near zero they are smooth and nearly additive.
    middle = motion.rotmat[len(motion) // 2]
    relative_rotmat = torch.from_numpy(motion.rotmat @ middle.T)
    rotvecs = smooth(unwrap_rotvecs(rotmat_to_rotvec(relative_rotmat).numpy()), "angle")
    arkit = smooth(motion.arkit, "weight")
    native = {
        name: values.copy() if name == "eyes" else smooth(values, "weight") for name, values in motion.native.items()
    }
    for side, columns in _GAZE_COLUMNS.items():
        blink = motion.arkit[:, ARKIT_NAMES.index(f"eyeBlink{side}")]
        gaze = interpolate_gaze_through_blinks(motion.arkit[:, columns], blink, time_s)
        arkit[:, columns] = smooth(gaze, "weight", GAZE_TIME_SCALE_S)
        if "eyes" in native:
            gaze = interpolate_gaze_through_blinks(native["eyes"][:, _EYE_ROTATION_COLUMNS[side]], blink, time_s)
            native["eyes"][:, _EYE_ROTATION_COLUMNS[side]] = smooth(gaze, "weight", GAZE_TIME_SCALE_S)
    return motion.replace(
        arkit=arkit.clip(0, 1),
        native=native,
        rotmat=rotvec_to_rotmat(torch.from_numpy(rotvecs)).numpy() @ middle,
        offset_px=smooth(motion.offset_px, "offset"),
        # The scale is positive and changes by factors, so its logarithm is smoothed.
        scale_px_per_m=np.exp(smooth(np.log(motion.scale_px_per_m)[:, None], "scale")[:, 0]),
    )


def smooth_curves(
    values: np.ndarray,
    time_s: np.ndarray,
    frame_weight: np.ndarray,
    time_scale_s: float,
    noise_range: tuple[float, float],
) -> np.ndarray:
    """Return smooth curves (T, C) float64 through values at uneven times.

    For each column y the curve x minimises `sum_t w_t (x_t - y_t)² + λ sum_t a_t (D² x)_t²`, where D² are second
    differences, λ follows from the time scale, and a_t in (0, 1] falls where (D² x)_t exceeds what noise explains.
    The weights a are found by iterative reweighting.

    Args:
        values: (T, C), y in the formula.
        time_s: (T,) in seconds, increasing.
        frame_weight: (T,) in (0, 1], w in the formula.
        time_scale_s: About the time that is averaged over, in seconds.
        noise_range: Limits of the estimated standard deviation of the noise.
    """
    from scipy.linalg import solveh_banded

    step_s = float(np.median(np.diff(time_s)))
    differences = _second_differences(np.diff(time_s) / step_s)
    # The smoother's gain at the angular frequency f is 1 / (1 + λ (2 sin(f / 2))⁴): its cut-off lies near
    # f = λ^(-1/4), so a time scale of n frames needs λ = n⁴.
    stiffness = (time_scale_s / step_s) ** 4
    noise_std = _noise_std(values).clip(*noise_range)
    result = np.array(values, dtype=np.float64)
    for _ in range(REWEIGHTING_ITERATIONS):
        for column in range(values.shape[1]):
            curvature = _apply_second_differences(differences, result[:, column])
            relative = curvature / (MOTION_THRESHOLD * SECOND_DIFFERENCE_GAIN * noise_std[column])
            # The power of 4 makes the step from full to almost no penalty steep, as between noise and a blink.
            banded = _banded_penalty(differences, stiffness / (1 + relative**2) ** 4)
            banded[-1] += frame_weight
            result[:, column] = solveh_banded(banded, frame_weight * values[:, column])
    return result


def remove_outliers(values: np.ndarray, noise_range: tuple[float, float]) -> np.ndarray:
    """Return values (T, C) float64 with isolated outliers replaced by interpolation.

    As in a Hampel filter, a run of one or two frames is an outlier where it is far, in units of the noise, from what
    its neighbours predict; the prediction is the cubic through two frames on either side.

    Args:
        values: (T, C) at even steps.
        noise_range: Limits of the estimated standard deviation of the noise.
    """
    values = np.array(values, dtype=np.float64)
    if len(values) < NOISE_DIFFERENCE_ORDER + 1:
        return values
    limit = OUTLIER_THRESHOLD * _noise_std(values).clip(*noise_range)
    for _ in range(OUTLIER_ITERATIONS):
        is_replaced = np.zeros(len(values), dtype=bool)
        found = [outlier for width in OUTLIER_WIDTHS for outlier in _find_outliers(values, width, limit)]
        for outlier in sorted(found, key=lambda outlier: -outlier.size):
            # The largest first: an outlier spoils the prediction of its neighbours, which then seem to be outliers too.
            if not is_replaced[max(outlier.first - OUTLIER_MARGIN, 0) : outlier.stop + OUTLIER_MARGIN].any():
                values[outlier.first : outlier.stop] = outlier.interpolated
                is_replaced[outlier.first : outlier.stop] = True
    return values


@dataclass(frozen=True, eq=False)
class _Outlier:
    """A run of W frames that differs from its neighbours.

    Attributes:
        size: Its distance from the prediction, in units of the limit.
        first: Its first frame.
        interpolated: (W, C) the prediction.
    """

    size: float
    first: int
    interpolated: np.ndarray

    @property
    def stop(self) -> int:
        return self.first + len(self.interpolated)


def _find_outliers(values: np.ndarray, width: int, limit: np.ndarray) -> list[_Outlier]:
    """Return all runs of `width` frames in which a column is beyond its limit (C,) in every frame."""
    runs = np.lib.stride_tricks.sliding_window_view(values, width + 4, axis=0)  # (T - width - 3, C, width + 4)
    interpolated = runs[..., [0, 1, -2, -1]] @ _cubic_interpolation_matrix(width)
    size = (np.abs(runs[..., 2:-2] - interpolated) / limit[:, None]).min(axis=2).max(axis=1)
    return [_Outlier(float(size[at]), int(at) + 2, interpolated[at].T) for at in np.flatnonzero(size > 1)]


def _cubic_interpolation_matrix(width: int) -> np.ndarray:
    """Return the matrix (4, width) from two values on either side of a run to the cubic's values in the run."""
    positions = np.array([-2, -1, width, width + 1], dtype=np.float64)
    return np.linalg.solve(np.vander(positions).T, np.vander(np.arange(width, dtype=np.float64), 4).T)


def _second_differences(steps: np.ndarray) -> np.ndarray:
    """Return the coefficients (3, T - 2) of second differences at uneven steps (T - 1,); (1, -2, 1) at steps of 1."""
    before, after = steps[:-1], steps[1:]
    return np.stack([1 / before, -1 / before - 1 / after, 1 / after])


def _apply_second_differences(differences: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the second differences (T - 2,) of values (T,)."""
    return differences[0] * values[:-2] + differences[1] * values[1:-1] + differences[2] * values[2:]


def _noise_std(values: np.ndarray) -> np.ndarray:
    """Return an estimate (C,) of the standard deviation of the noise in values (T, C).

    It rests on differences of high order d, which suppress smooth motion and amplify white noise: their variance is
    that of the noise times the binomial coefficient of d out of 2 d.
    """
    order = min(NOISE_DIFFERENCE_ORDER, len(values) - 1)
    gain = math.sqrt(math.comb(2 * order, order))
    differences = np.abs(np.diff(values, order, axis=0))
    # A weight that rests at its bound is constant and would make the noise seem smaller than it is.
    informative = np.where(differences > MIN_DIFFERENCE, differences, np.nan)
    informative[:, np.isnan(informative).all(axis=0)] = 0
    # A low quantile, since blinks and speech enlarge the differences of many frames.
    return np.nanquantile(informative, NOISE_QUANTILE, axis=0) / (NORMAL_QUANTILE * gain)


def _banded_penalty(differences: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return D' W D of second differences D as LAPACK's upper band storage: (3, T), the diagonal last."""
    banded = np.zeros((3, differences.shape[1] + 2))
    for first in range(3):
        for second in range(first, 3):
            offset = second - first
            # Entry (row + first, row + second) of the matrix is stored in column row + second.
            banded[2 - offset, second : second + differences.shape[1]] += (
                weight * differences[first] * differences[second]
            )
    return banded


def unwrap_rotvecs(rotvecs: np.ndarray) -> np.ndarray:
    """Return rotation vectors (T, 3) in radians without jumps by a whole turn.

    A rotation by an angle about an axis equals that by the angle minus 2 π; of both the nearer to the frame before is
    taken.
    """
    result = np.array(rotvecs)
    for k in range(1, len(result)):
        angle = np.linalg.norm(result[k])
        if angle > 1e-6:
            other = result[k] * (1 - 2 * np.pi / angle)
            if np.linalg.norm(other - result[k - 1]) < np.linalg.norm(result[k] - result[k - 1]):
                result[k] = other
    return result
