"""Patches: where they lie, what they show, and what lies outside the photo."""

from __future__ import annotations

import numpy as np
import pytest

from smirk3d.detection.face_patch import PATCH_SIZE, PatchFrame, face_input, landmark_map, network_input
from smirk3d.geometry.euler import rotation_from_angles
from smirk3d.head.model import HeadModel


def face_points(head: HeadModel, roll_deg: float = 0.0, scale: float = 600.0) -> np.ndarray:
    points = head.landmark_embedding("mediapipe").points(head.v_template, head.faces).numpy()
    return (points @ rotation_from_angles(0, 0, roll_deg).T)[:, :2] * [scale, -scale] + [100, 150]


def ramp(width: int = 220, height: int = 320) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    return np.repeat((x * 0.5 + y * 0.25)[..., None], 3, axis=2).astype(np.uint8)


@pytest.mark.parametrize("roll_deg", [-70.0, 0.0, 35.0, 180.0])
def test_a_rolled_face_has_the_same_patch_coordinates(open_head: HeadModel, roll_deg: float) -> None:
    upright, rolled = face_points(open_head), face_points(open_head, roll_deg)
    frames = PatchFrame.from_landmarks(upright), PatchFrame.from_landmarks(rolled)
    expected = frames[0].to_patch(upright)
    np.testing.assert_allclose(frames[1].to_patch(rolled), expected, atol=0.3)
    assert expected.min() > 0 and expected.max() < PATCH_SIZE


def test_patch_coordinates_are_those_of_the_samples(open_head: HeadModel) -> None:
    points = face_points(open_head, 20.0)
    frame = PatchFrame.from_landmarks(points).moved((0.05, -0.02), 1.1, 0.1)
    luma, inside = frame.sample(ramp())
    column, row = np.floor(frame.to_patch(points[[1, 33, 263, 13]])).astype(int).T
    expected = points[[1, 33, 263, 13]] @ [0.5, 0.25]
    np.testing.assert_allclose(luma[row, column], expected, atol=2.5)
    assert (inside[row, column] == 1).all()


def test_outside_the_photo_is_nothing(open_head: HeadModel) -> None:
    frame = PatchFrame.from_landmarks(face_points(open_head))
    luma, inside = frame.sample(ramp()[:, :100])
    assert inside[:, :28].all() and not inside[:, 36:].any() and not luma[:, 36:].any()


def test_the_input_does_not_depend_on_brightness_and_contrast(open_head: HeadModel) -> None:
    points, pixels = face_points(open_head), np.random.default_rng(0).integers(0, 100, (300, 200, 3), dtype=np.uint8)
    one, other = face_input(pixels, points), face_input(pixels * 2 + 20, points)
    np.testing.assert_allclose(one, other, atol=1e-3)
    assert one.shape == (3, PATCH_SIZE, PATCH_SIZE) and one[0].mean() == pytest.approx(0, abs=1e-4)
    assert one[0].std() == pytest.approx(1, abs=1e-3)


def test_a_photo_of_one_colour_has_no_contrast(open_head: HeadModel) -> None:
    for level in (0, 90):
        pixels = np.full((60, 80, 3), level, dtype=np.uint8)
        assert np.abs(face_input(pixels, face_points(open_head))[0]).max() < 1e-3


def test_marks_outside_the_patch_are_on_its_rim() -> None:
    marks = landmark_map(np.array([[3.5, 7.2], [-9.0, 80.0]]))
    assert marks[7, 3] == 1 and marks[PATCH_SIZE - 1, 0] == 1 and marks.sum() == 2


def test_inputs_of_a_batch_are_those_of_each() -> None:
    random = np.random.default_rng(1)
    luma = random.uniform(0, 255, (3, PATCH_SIZE, PATCH_SIZE)).astype(np.float32)
    inside = (random.random(luma.shape) < 0.8).astype(np.float32)
    marks = np.zeros_like(luma)
    batch = network_input(luma * inside, inside, marks)
    for k in range(3):
        np.testing.assert_allclose(batch[k], network_input(luma[k] * inside[k], inside[k], marks[k]), atol=1e-5)
