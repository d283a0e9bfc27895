"""Tracking accuracy of known tracks."""

from dataclasses import replace

import numpy as np
import pytest
from synthetic_track import synthetic_track

from smirk3d.evaluation.clips import TalkingMotion
from smirk3d.evaluation.video_accuracy import accuracy_result, clip_accuracy, lag_frames
from smirk3d.geometry.euler import angles_from_rotation, rotation_from_angles
from smirk3d.head.arkit import ARKIT_NAMES

SMILE, BLINK, GAZE = (ARKIT_NAMES.index(name) for name in ("mouthSmileLeft", "eyeBlinkLeft", "eyeLookOutRight"))


@pytest.fixture
def track(open_head):
    return synthetic_track(open_head)


def motion_of(track) -> TalkingMotion:
    """Return a motion that the track follows exactly; it has frames before the track."""
    start = int(track.frame[0])
    weights = np.concatenate([np.zeros((start, 52), np.float32), track.arkit])
    weights[:, GAZE] = 0
    angles = np.array([angles_from_rotation(rotmat) for rotmat in track.rotation_rotmat])
    return TalkingMotion(weights, np.concatenate([np.zeros((start, 3)), angles]))


def test_a_perfect_track(track):
    found = clip_accuracy(track, motion_of(track))
    assert found.correlation[[SMILE, BLINK]] == pytest.approx([1, 1])
    assert found.range_ratio[[SMILE, BLINK]] == pytest.approx([1, 1]) and found.lag_frames[BLINK] == 0
    assert np.flatnonzero(found.is_strong).tolist() == sorted([SMILE, BLINK])
    assert found.rest_max == 0.5 and found.rest_mean == pytest.approx(0.5 / 50)  # gaze that is not in the truth
    assert found.blink_depths.tolist() == [1]
    assert found.pose_errors_deg.max() < 0.1 and found.pose_offset_deg < 0.1


def test_a_constant_rotation_is_no_error(track):
    turn = rotation_from_angles(0, 0, 10).astype(np.float32)
    moved = replace(track, rotation_rotmat=turn @ track.rotation_rotmat)
    found = clip_accuracy(moved, motion_of(track))
    assert found.pose_errors_deg.max() < 0.1 and found.pose_offset_deg == pytest.approx(10, abs=0.1)
    rotmat = track.rotation_rotmat.copy()
    rotmat[5] = rotmat[5] @ turn
    found = clip_accuracy(replace(track, rotation_rotmat=rotmat), motion_of(track))
    assert found.pose_errors_deg.argmax() == 5 and found.pose_errors_deg.max() == pytest.approx(10, abs=0.5)


def test_a_late_prediction_has_a_lag():
    truth = np.sin(np.arange(60) / 3)
    assert [lag_frames(np.roll(truth, late), truth) for late in (-2, 0, 1, 3)] == [-2, 0, 1, 3]


def test_figures_of_several_clips(track):
    perfect = clip_accuracy(track, motion_of(track))
    noise = np.random.default_rng(0).uniform(0, 1, track.arkit.shape).astype(np.float32)
    noisy = clip_accuracy(replace(track, arkit=noise), motion_of(track))
    result = accuracy_result("refine", {"a": perfect, "b": noisy})
    figures = result.figures
    assert (figures["strong_count"], figures["strong_high_count"], result.faces) == (4, 2, 2)
    assert 0.3 < figures["strong_correlation"] < 0.8 and figures["rest_max"] == pytest.approx(1, abs=0.01)
    assert np.isnan(result.blendshapes["correlation"][GAZE]) and set(result.by_sample) == {"a", "b"}
