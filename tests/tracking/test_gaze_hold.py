"""Gaze during blinks is interpolated."""

from __future__ import annotations

import numpy as np
import pytest

from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.tracking.gaze_hold import interpolate_gaze_through_blinks
from smirk3d.tracking.motion import HeadMotion
from smirk3d.tracking.whittaker_smoother import SmoothConfig, smooth_motion

N, FPS = 60, 30.0
TIME_S = np.arange(N) / FPS


def _closed_for(first: int, count: int) -> np.ndarray:
    blink = np.zeros(N)
    blink[first : first + count] = 0.9
    return blink


def test_gaze_is_interpolated_through_a_blink() -> None:
    expected_gaze = np.stack([np.linspace(0, 0.8, N), np.full(N, 0.3)], axis=1)
    measured = expected_gaze.copy()
    measured[20:24] = 0.0
    np.testing.assert_allclose(
        interpolate_gaze_through_blinks(measured, _closed_for(20, 4), TIME_S), expected_gaze, atol=1e-12
    )


@pytest.mark.parametrize(("first", "count", "expected"), [(0, 5, 0.5), (N - 5, 5, 0.5), (10, 20, 0.0), (0, N, 0.0)])
def test_gaze_is_held_at_the_ends_and_long_closures_stay(first: int, count: int, expected: float) -> None:
    measured = np.full((N, 1), 0.5)
    measured[first : first + count] = 0.0
    found = interpolate_gaze_through_blinks(measured, _closed_for(first, count), TIME_S)
    np.testing.assert_allclose(found[first : first + count], expected)


def test_each_eye_has_blinks_of_its_own() -> None:
    arkit = np.zeros((N, len(ARKIT_NAMES)))
    left, right = ARKIT_NAMES.index("eyeLookInLeft"), ARKIT_NAMES.index("eyeLookOutRight")
    arkit[:, [left, right]] = 0.6
    arkit[30:33, [left, right]] = 0.0
    arkit[30:33, ARKIT_NAMES.index("eyeBlinkLeft")] = 1.0
    eyes = np.repeat(arkit[:, [left, right]], 3, axis=1)
    motion = HeadMotion(
        arkit,
        np.tile(np.eye(3), (N, 1, 1)),
        np.zeros((N, 2)),
        np.full(N, 700.0),
        np.full(N, 0.01),
        native={"eyes": eyes},
    )
    found = smooth_motion(motion, TIME_S, np.ones(N), SmoothConfig())
    np.testing.assert_allclose(found.arkit[:, left], 0.6, atol=1e-3)
    np.testing.assert_allclose(found.native["eyes"][:, :3], 0.6, atol=1e-3)
    assert found.arkit[31, right] < 0.3 and found.native["eyes"][31, 4] < 0.3
