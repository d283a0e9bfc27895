"""Visibility over time does not flicker, and weights fade with it."""

from __future__ import annotations

import numpy as np
import pytest

from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.tracking.hidden_motion import shrink_hidden_motion, smooth_visibility
from smirk3d.tracking.motion import HeadMotion

N, RATE_FPS = 60, 30.0
TIME_S = np.arange(N) / RATE_FPS
JAW, BROW = ARKIT_NAMES.index("jawOpen"), ARKIT_NAMES.index("browInnerUp")


def still_motion(**native: np.ndarray) -> HeadMotion:
    return HeadMotion(
        np.full((N, 52), 0.5), np.tile(np.eye(3), (N, 1, 1)), np.zeros((N, 2)), np.full(N, 500.0), np.zeros(N), native
    )


def mouth_hidden(rows: slice) -> np.ndarray:
    visibility = np.ones((N, 4))
    visibility[rows] = [1, 0, 0.6, 0.6]
    return visibility


def test_one_frame_is_flicker() -> None:
    assert smooth_visibility(mouth_hidden(slice(30, 31)), TIME_S).min() > 0.99
    shown = 1 - mouth_hidden(slice(30, 32))
    assert smooth_visibility(shown, TIME_S).max() < 0.01


def test_a_hand_that_comes_and_goes_fades(open_head: HeadModel) -> None:
    visibility = smooth_visibility(mouth_hidden(slice(20, 40)), TIME_S)
    jaw = shrink_hidden_motion(open_head, still_motion(), visibility).arkit[:, JAW]
    assert (jaw[25:35] < 0.02).all() and (jaw[:13] > 0.48).all() and (jaw[47:] > 0.48).all()
    assert np.abs(np.diff(jaw)).max() < 0.2  # no jump from frame to frame
    assert (np.diff(jaw[:30]) <= 1e-9).all() and (np.diff(jaw[30:]) >= -1e-9).all()


def test_what_is_visible_stays(open_head: HeadModel) -> None:
    motion = still_motion()
    assert shrink_hidden_motion(open_head, motion, np.full((N, 4), 0.8)) is motion
    covered = shrink_hidden_motion(open_head, motion, mouth_hidden(slice(20, 40)))
    np.testing.assert_array_equal(covered.arkit[:, BROW], motion.arkit[:, BROW])
    np.testing.assert_array_equal(covered.arkit[:20], motion.arkit[:20])


def test_parameters_of_the_head_fade_too(flame_head: HeadModel) -> None:
    native = {"expression": np.ones((N, flame_head.n_expression)), "jaw": np.full((N, 3), 0.3)}
    found = shrink_hidden_motion(flame_head, still_motion(**native), mouth_hidden(slice(20, 40)))
    assert not found.native["jaw"][20:40].any() and (found.native["jaw"][:20] == 0.3).all()
    np.testing.assert_array_equal(found.native["expression"][:20], 1)
    assert found.native["expression"].dtype == np.float64


@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_values_stay_in_their_range(strength: float) -> None:
    visibility = np.random.default_rng(0).random((N, 4))
    found = smooth_visibility(visibility, TIME_S, strength)
    assert found.shape == (N, 4) and found.min() >= 0 and found.max() <= 1
    assert (strength == 0) == np.array_equal(found, visibility)
    assert smooth_visibility(visibility[:2], TIME_S[:2]).shape == (2, 4)
