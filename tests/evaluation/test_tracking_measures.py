"""Tracking accuracy and stability: what known tracks get."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from synthetic_track import synthetic_track

from smirk3d.detection.detector import Detection
from smirk3d.evaluation.clips import TalkingMotion
from smirk3d.evaluation.tracked_clips import rotation_errors_deg
from smirk3d.evaluation.video_accuracy import accuracy_result, clip_accuracy, lag_frames
from smirk3d.evaluation.video_stability import (
    BORDER_PX,
    FACE_PX,
    clip_stability,
    photo_of_each_person,
    stability_result,
    still_photo,
)
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


def test_rotation_errors():
    rotmat = torch.from_numpy(np.stack([rotation_from_angles(0, 0, angle) for angle in (4.0, 6.0)]))
    errors, offset = rotation_errors_deg(rotmat)
    assert errors == pytest.approx([1, 1]) and offset == pytest.approx(5)


def still_track(track, motion: np.ndarray, gain: float = 1.0):
    rolls = np.stack([rotation_from_angles(0, 0, gain * roll) for roll in motion[:, 0]]).astype(np.float32)
    count = len(motion)
    arkit = np.full((count, 52), 0.3, np.float32)
    return replace(
        synthetic_track_of(track, count), arkit=arkit, rotation_rotmat=rolls, scale_px_per_m=500 * motion[:, 1]
    )


def synthetic_track_of(track, count: int):
    return replace(track, frame=np.arange(count))


def test_a_still_face_that_follows_its_photo_is_stable(track):
    motion = np.stack([12 * np.sin(np.arange(40) / 5), np.linspace(0.9, 1.6, 40)], axis=1)
    std, pose = clip_stability(still_track(track, motion), motion)
    assert std.max() < 1e-6 and pose["pose_error_max_deg"] < 0.1 and pose["tracked_frames_percent"] == 100
    assert pose["size_error_percent"] == pytest.approx(0, abs=1e-4)
    _, pose = clip_stability(still_track(track, motion, gain=0.5), motion)
    assert pose["pose_error_max_deg"] > 4


def test_lost_frames_do_not_count(track):
    motion = np.stack([np.zeros(40), np.ones(40)], axis=1)
    lost = still_track(track, motion)
    lost.arkit[:10] = np.nan
    lost.scale_px_per_m[:10] = np.nan
    std, pose = clip_stability(lost, motion)
    assert std.max() < 1e-6 and pose["tracked_frames_percent"] == 75


def test_stability_of_several_clips():
    pose = {"pose_error_deg": 1.0, "pose_error_max_deg": 2.0, "size_error_percent": 1.0, "tracked_frames_percent": 50.0}
    worse = {name: 3 * value for name, value in pose.items()}
    std = np.zeros(52)
    std[3] = 0.02
    result = stability_result("fit", {"a": (np.zeros(52), pose), "b": (std, worse)}, left_out=1)
    figures = result.figures
    assert figures["steady_blendshapes"] == 51.5 and figures["steady_clips"] == 1 and figures["max_std"] == 0.02
    assert (figures["pose_error_deg"], figures["pose_error_max_deg"], result.left_out) == (2, 6, 1)
    assert result.blendshapes["rms_std"][3] == pytest.approx(0.02 / np.sqrt(2))


def test_one_photo_of_each_person(tmp_path: Path):
    for name in ("b/2.jpg", "b/1.jpg", "a/1.png", "a/notes.txt", "c.jpg", "d.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in photo_of_each_person(tmp_path, 10)]
    assert found == ["a/1.png", "b/1.jpg", "c.jpg", "d.jpg"]
    assert len(photo_of_each_person(tmp_path, 2)) == 2


def test_a_photo_is_scaled_to_the_usual_face(tmp_path: Path):
    path = tmp_path / "photo.png"
    Image.fromarray(np.full((100, 80, 3), 90, np.uint8)).save(path)
    points = np.array([[20, 30], [60, 70]], np.float32)

    def detect(pixels: np.ndarray) -> list[Detection]:
        assert pixels.shape == (100, 80, 3)
        return [Detection(points, points[:, 0], np.zeros(52, np.float32), points.ravel(), 1.0)]

    still = still_photo(path, detect)
    scale = FACE_PX / 40
    assert still is not None and still.center_px == pytest.approx((40 * scale + BORDER_PX, 50 * scale + BORDER_PX))
    assert still.photo.size == (80 * scale + 2 * BORDER_PX, round(100 * scale) + 2 * BORDER_PX)
    assert still_photo(path, lambda pixels: []) is None
