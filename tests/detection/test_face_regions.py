"""Regions of a face: sides, mirror images, and the border of the photo."""

from __future__ import annotations

import numpy as np
import pytest

from smirk3d.detection.face_regions import REGIONS, region_points, share_inside
from smirk3d.head.landmark_indices import MIRROR
from smirk3d.head.model import HeadModel

SIZE = (200, 300)


@pytest.fixture(scope="module")
def landmarks_px(open_head: HeadModel) -> np.ndarray:
    """The open head from the front, in pixels of a photo of `SIZE`; the subject's left is on the right."""
    embedding = open_head.landmark_embedding("mediapipe")
    points = embedding.points(open_head.v_template, open_head.faces).numpy()[:, :2]
    return points * np.array([600.0, -600.0]) + np.array(SIZE) / 2


def test_each_region_is_where_its_name_tells(landmarks_px: np.ndarray) -> None:
    center = {name: points.mean(axis=0) for name, points in region_points(landmarks_px).items()}
    assert tuple(center) == REGIONS == ("eyes", "mouth", "left", "right")
    assert center["left"][0] > landmarks_px[4, 0] > center["right"][0]
    assert center["eyes"][1] < landmarks_px[4, 1] < center["mouth"][1]


def test_regions_of_a_mirrored_face_are_mirrored(landmarks_px: np.ndarray) -> None:
    mirrored = region_points((landmarks_px * [-1, 1])[list(MIRROR)])
    own = region_points(landmarks_px)
    for name, other in (("eyes", "eyes"), ("mouth", "mouth"), ("left", "right")):
        np.testing.assert_allclose(np.sort(mirrored[name][:, 0]), np.sort(-own[other][:, 0]), atol=1e-9)


def test_what_the_border_cuts_is_not_inside(landmarks_px: np.ndarray) -> None:
    assert share_inside(landmarks_px, SIZE).tolist() == [1, 1, 1, 1]
    middle_x = float(landmarks_px[4, 0])
    right = dict(zip(REGIONS, share_inside(landmarks_px, (int(middle_x), SIZE[1]))))
    assert right["left"] < 0.1 and right["right"] > 0.9 and 0.3 < right["eyes"] < 0.7
    upper = dict(zip(REGIONS, share_inside(landmarks_px, (SIZE[0], int(landmarks_px[2, 1])))))
    assert upper["mouth"] == 0 and upper["eyes"] == 1 and upper["left"] == pytest.approx(upper["right"], abs=0.05)
