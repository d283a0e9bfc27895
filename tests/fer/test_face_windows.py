"""Windows of faces: placement, rotation, size, border."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from smirk3d.detection.face_patch import PatchFrame
from smirk3d.fer.face_windows import FRAME_SCALE, FRAME_SHIFT, WINDOW_PX, crop_window, face_window


def _face_points(center: tuple[float, float], size_px: float) -> np.ndarray:
    """Landmarks on an upright ellipse, with forehead and chin where MediaPipe has them."""
    angle = np.linspace(0, 2 * np.pi, 478, endpoint=False)
    points = np.stack([np.cos(angle), np.sin(angle)], 1) * size_px / 2 + center
    points[10], points[152] = (center[0], center[1] - size_px / 2), (center[0], center[1] + size_px / 2)
    return points


def _gradient(height: int, width: int) -> np.ndarray:
    column = np.linspace(0, 255, width).round().astype(np.uint8)
    return np.repeat(np.tile(column, (height, 1))[..., None], 3, axis=2)


def test_a_crop_is_reduced_like_pillow_reduces_it() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (96, 96), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(noise).reduce(2)).astype(int)
    found = crop_window(np.repeat(noise[..., None], 3, axis=2)).astype(int)
    assert np.abs(found - expected).max() <= 1


def test_a_crop_of_the_right_size_stays() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (WINDOW_PX, WINDOW_PX), dtype=np.uint8)
    assert np.array_equal(crop_window(np.repeat(noise[..., None], 3, axis=2)), noise)


def test_of_a_wide_crop_the_middle_is_taken() -> None:
    window = crop_window(_gradient(48, 144))
    assert abs(int(window.mean()) - 127) <= 2 and window.min() > 80 and window.max() < 175


@pytest.mark.parametrize("size_px", [30.0, 100.0, 400.0])
def test_the_window_shows_the_frame_about_the_landmarks(size_px: float) -> None:
    points = _face_points((500, 500), size_px)
    window = face_window(_gradient(1000, 1000), points)
    frame = PatchFrame.from_landmarks(points).moved(FRAME_SHIFT, FRAME_SCALE, 0)
    left, right = (frame.center_px + sign * frame.right_px * (1 - 1 / WINDOW_PX) for sign in (-1, 1))
    expected = [edge[0] / 999 * 255 for edge in (left, right)]
    assert np.abs(window[:, 0].mean() - expected[0]) < 1.5 and np.abs(window[:, -1].mean() - expected[1]) < 1.5


def test_a_rotated_face_gives_the_same_window() -> None:
    photo = np.random.default_rng(2).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    photo = np.asarray(Image.fromarray(photo).resize((400, 400), Image.Resampling.BICUBIC))
    points = _face_points((180, 210), 150)
    turned, turned_points = np.rot90(photo, 3), np.stack([399 - points[:, 1], points[:, 0]], 1)
    one, other = (face_window(*each).astype(int) for each in ((photo, points), (turned, turned_points)))
    assert np.abs(one - other).mean() < 3


def test_beyond_the_photo_its_border_is_repeated() -> None:
    grey = np.full((60, 60, 3), 90, dtype=np.uint8)
    assert (face_window(grey, _face_points((0, 0), 80)) == 90).all()
    assert (face_window(grey, _face_points((-500, 900), 80)) == 90).all()
