"""Tracking stability of known tracks, and the photos of its clips."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from synthetic_track import synthetic_track

from smirk3d.detection.detector import Detection
from smirk3d.evaluation.video_stability import (
    BORDER_PX,
    FACE_PX,
    clip_stability,
    photo_of_each_person,
    stability_result,
    still_photo,
)
from smirk3d.geometry.euler import rotation_from_angles


@pytest.fixture
def track(open_head):
    return synthetic_track(open_head)


def still_track(track, motion: np.ndarray, gain: float = 1.0):
    """Return a track whose weights rest and whose pose follows the motion, its roll times `gain`."""
    rolls = np.stack([rotation_from_angles(0, 0, gain * roll) for roll in motion[:, 0]]).astype(np.float32)
    return replace(
        track,
        frame=np.arange(len(motion)),
        arkit=np.full((len(motion), 52), 0.3, np.float32),
        rotation_rotmat=rolls,
        scale_px_per_m=500 * motion[:, 1],
    )


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


def test_a_photo_that_cannot_be_read_is_named_and_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no")
    assert still_photo(tmp_path / "broken.jpg", lambda pixels: []) is None
    assert "broken.jpg: not an image in a known format" in caplog.text
