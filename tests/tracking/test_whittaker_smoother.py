"""Smoothing removes noise, keeps blinks, speech and turns of the head, and has no lag."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from smirk3d.geometry.euler import angles_from_rotation, rotation_from_angles
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.tracking.motion import HeadMotion
from smirk3d.tracking.whittaker_smoother import (
    NOISE_RANGES,
    TIME_SCALE_S,
    SmoothConfig,
    remove_outliers,
    smooth_curves,
    smooth_motion,
    unwrap_rotvecs,
)

FPS = 25.0
N = 250
TIME_S = np.arange(N) / FPS
WEIGHT = NOISE_RANGES["weight"]


def smooth(values: np.ndarray, time_s: np.ndarray = TIME_S, frame_weight: np.ndarray | None = None) -> np.ndarray:
    frame_weight = np.ones(len(values)) if frame_weight is None else frame_weight
    return smooth_curves(values[:, None], time_s, frame_weight, TIME_SCALE_S, WEIGHT)[:, 0]


def noise(std: float, seed: int = 0) -> np.ndarray:
    return std * np.random.default_rng(seed).standard_normal(N)


def blinks(fps: float, count: int) -> np.ndarray:
    """Return blinks of 100 ms, one every second and a half: closed in the middle, open 50 ms before and after."""
    time_s = np.arange(count) / fps
    since = np.abs((time_s + 0.4) % 1.5 - 0.75)
    return np.clip(1 - since / 0.05, 0, 1)


def motion(**changes: np.ndarray) -> HeadMotion:
    given = {
        "arkit": np.zeros((N, 52)),
        "rotmat": np.tile(np.eye(3), (N, 1, 1)),
        "offset_px": np.zeros((N, 2)),
        "scale_px_per_m": np.full(N, 500.0),
        "residual": np.zeros(N),
    }
    return HeadMotion(**(given | changes))


@pytest.mark.parametrize("std", [0.005, 0.01, 0.02])
def test_noise_of_a_still_face_is_halved(std: float) -> None:
    result = smooth(0.3 + noise(std))
    assert result.std() < 0.55 * std and abs(result.mean() - 0.3) < std / 5


@pytest.mark.parametrize("fps", [25.0, 30.0, 60.0])
def test_blink_of_100_ms_keeps_its_depth_and_its_frame(fps: float) -> None:
    clean = blinks(fps, N)
    result = smooth(clean + noise(0.01), np.arange(N) / fps)
    peaks = np.flatnonzero((clean[1:-1] > clean[:-2]) & (clean[1:-1] >= clean[2:]) & (clean[1:-1] > 0.5)) + 1
    assert len(peaks) >= 2
    for peak in peaks:
        assert result[peak] >= 0.8 * clean[peak]
        assert result[peak] > result[peak - 2 : peak + 3].max() - 0.02


@pytest.mark.parametrize("hertz", [1.0, 3.0, 5.0])
def test_speech_is_kept(hertz: float) -> None:
    clean = 0.3 * (0.5 - 0.5 * np.cos(2 * np.pi * hertz * TIME_S))
    result = smooth(clean + noise(0.01))
    assert result.std() > 0.9 * clean.std() and np.corrcoef(result, clean)[0, 1] > 0.97


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000))
def test_smoothing_is_symmetric_in_time(seed: int) -> None:
    values = np.cumsum(noise(0.05, seed))
    np.testing.assert_allclose(smooth(values[::-1])[::-1], smooth(values), atol=1e-8)


def test_straight_line_is_kept_at_uneven_times() -> None:
    time_s = np.cumsum(np.random.default_rng(0).uniform(0.02, 0.08, N))
    np.testing.assert_allclose(smooth(0.1 * time_s, time_s), 0.1 * time_s, atol=1e-9)


def test_frame_of_low_weight_follows_its_neighbours() -> None:
    values, frame_weight = np.full(N, 0.4) + noise(0.005), np.ones(N)
    values[100] += 0.03
    frame_weight[100] = 1e-3
    assert abs(smooth(values, frame_weight=frame_weight)[100] - 0.4) < 0.01 < abs(smooth(values)[100] - 0.4)


@pytest.mark.parametrize("outliers", [[60, 140], [60, 61, 140, 141]])
def test_outliers_of_one_or_two_frames_are_removed_and_a_nod_is_kept(outliers: list[int]) -> None:
    nod = 0.2 * np.sin(2 * np.pi * 2 * TIME_S)
    values = nod + noise(0.003)
    values[outliers] += 0.1
    cleaned = remove_outliers(values[:, None], NOISE_RANGES["angle"])[:, 0]
    assert np.abs(cleaned - nod).max() < 0.03
    few = np.zeros((4, 1))
    np.testing.assert_array_equal(remove_outliers(few, NOISE_RANGES["angle"]), few)


def test_all_parts_of_a_motion_are_smoothed() -> None:
    random = np.random.default_rng(0)
    angles = np.stack([20 * np.sin(TIME_S), 5 * np.cos(TIME_S), np.zeros(N)], axis=1)
    noisy_angles = angles + 0.3 * random.standard_normal(angles.shape)
    noisy = motion(
        arkit=np.clip(0.3 + 0.02 * random.standard_normal((N, 52)), 0, 1),
        rotmat=np.stack([rotation_from_angles(*each) for each in noisy_angles]),
        offset_px=0.5 * random.standard_normal((N, 2)),
        scale_px_per_m=500 * np.exp(0.002 * random.standard_normal(N)),
    )
    result = smooth_motion(noisy, TIME_S, np.ones(N), SmoothConfig())
    found = np.array([angles_from_rotation(rotmat) for rotmat in result.rotmat])
    assert np.abs(found - angles).mean() < 0.6 * np.abs(noisy_angles - angles).mean()
    np.testing.assert_allclose(result.rotmat @ result.rotmat.swapaxes(1, 2), np.tile(np.eye(3), (N, 1, 1)), atol=1e-9)
    for name in ("arkit", "offset_px"):
        assert getattr(result, name).std() < 0.6 * getattr(noisy, name).std()
    assert np.log(result.scale_px_per_m).std() < 0.6 * np.log(noisy.scale_px_per_m).std()
    assert result.arkit.min() >= 0 and result.arkit.max() <= 1


def test_gaze_is_smoothed_more_while_it_rests_and_saccades_are_kept() -> None:
    name = ARKIT_NAMES.index("eyeLookInLeft")
    for height, rest in ((0.0, 0.2), (0.15, 0.3)):
        clean = 0.3 + height * (TIME_S > 5)
        noisy = motion(arkit=np.tile((clean + noise(0.01))[:, None], (1, 52)))
        result = smooth_motion(noisy, TIME_S, np.ones(N), SmoothConfig()).arkit
        far = np.abs(TIME_S - 5) > rest
        assert (result[far, name] - clean[far]).std() < 0.75 * (result[far, 0] - clean[far]).std()
        assert np.abs(result[:, name] - clean).max() < 0.04
    (jump,) = np.flatnonzero(np.diff(result[:, name]) > 0.1)
    assert TIME_S[jump] <= 5 < TIME_S[jump + 1]


def test_strength_controls_the_smoothing() -> None:
    noisy = motion(arkit=np.clip(0.3 + 0.02 * np.random.default_rng(0).standard_normal((N, 52)), 0, 1))
    assert smooth_motion(noisy, TIME_S, np.ones(N), SmoothConfig(0)) is noisy
    spread = [smooth_motion(noisy, TIME_S, np.ones(N), SmoothConfig(s)).arkit.std() for s in (0.5, 1.0, 2.0)]
    assert spread[0] > spread[1] > spread[2]
    short = noisy[slice(0, 2)]
    assert smooth_motion(short, TIME_S[:2], np.ones(2), SmoothConfig()) is short
    with pytest.raises(ValueError, match="strength"):
        SmoothConfig(-1)


def test_unwrapped_rotation_vectors_have_no_jumps() -> None:
    angles = np.linspace(0, 1.9 * np.pi, 60)
    rotvecs = np.stack([np.zeros(60), angles, np.zeros(60)], axis=1)
    wrapped = rotvecs - 2 * np.pi * (angles > np.pi)[:, None] * np.array([0, 1, 0])
    np.testing.assert_allclose(unwrap_rotvecs(wrapped), rotvecs, atol=1e-9)
    assert torch.isfinite(torch.from_numpy(unwrap_rotvecs(np.zeros((3, 3))))).all()
