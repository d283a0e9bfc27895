"""Landmarks of upright faces are known by their arrangement, whatever their place, size and tilt."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from skimage.data import astronaut

from smirk3d.detection.detector import Detection, Detector
from smirk3d.detection.upright_landmarks import are_upright, normalized


@pytest.fixture(scope="module")
def detector() -> Iterator[Detector]:
    with Detector() as opened:
        yield opened


@pytest.fixture(scope="module")
def face(detector: Detector) -> Detection:
    (found,) = detector.detect_fast(astronaut())
    return found


def test_an_upright_face(face: Detection) -> None:
    assert are_upright(face.landmarks_px, face.depth)


@pytest.mark.parametrize("angle_deg", [20, -75, 180])
def test_tilt_size_and_place_do_not_matter(face: Detection, angle_deg: int) -> None:
    angle = np.deg2rad(angle_deg)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = 3.7 * face.landmarks_px @ rotation.T + (1000, -50)
    np.testing.assert_allclose(
        normalized(moved, 3.7 * face.depth), normalized(face.landmarks_px, face.depth), atol=1e-4
    )


def test_landmarks_that_are_upside_down_are_in_doubt(detector: Detector, face: Detection) -> None:
    """The landmarker's own error: level landmarks on a face that hangs."""
    x0, y0, x1, y1 = face.box_px.astype(int)
    margin = (x1 - x0) // 2
    crop = astronaut()[max(y0 - margin, 0) : y1 + margin, x0 - margin : x1 + margin]
    level = [
        found
        for turned in (np.rot90(crop, 2), crop[::-1])
        for found in detector.detect_fast(np.ascontiguousarray(turned))
        if found.landmarks_px[263, 0] > found.landmarks_px[33, 0]
    ]
    assert not any(are_upright(found.landmarks_px, found.depth) for found in level)


def test_mouth_above_the_eyes_is_in_doubt(face: Detection) -> None:
    flipped = face.landmarks_px * [1, -1]
    assert not are_upright(flipped, face.depth)


def test_degenerate_landmarks_are_finite() -> None:
    assert np.isfinite(normalized(np.zeros((478, 2)), np.zeros(478))).all()
    are_upright(np.zeros((478, 2)), np.zeros(478))
