"""The normalised landmark error."""

import numpy as np
import pytest
from evaluation_faces import face_points

from smirk3d.head.landmark_indices import IRIS_LEFT, OUTER_EYE_CORNERS, SKIN_COUNT
from smirk3d.metrics.landmark import error_summary, landmark_error_percent


def error(points_px: np.ndarray, truth_px: np.ndarray) -> np.ndarray:
    return landmark_error_percent(points_px, truth_px, eye_corners=OUTER_EYE_CORNERS, count=SKIN_COUNT)


def test_landmark_error_is_in_distances_of_the_eye_corners():
    truth = np.stack([face_points(0), face_points(1)])
    moved = truth + np.array([[[0.0, 0.0]], [[3.0, 4.0]]])  # the eye corners are 20 pixels apart
    assert error(moved, truth) == pytest.approx([0, 25], abs=1e-4)
    moved = truth.copy()
    moved[:, list(IRIS_LEFT)] += 100  # does not lie on the skin
    assert error(moved, truth).tolist() == [0, 0]


def test_all_points_count_by_default():
    truth = np.array([[[0.0, 0.0], [10.0, 0.0], [5.0, 5.0], [0.0, 5.0]]])
    moved = truth + np.array([0.0, 1.0])
    moved[0, 3] += (0.0, 4.0)
    assert landmark_error_percent(moved, truth, eye_corners=(0, 1)) == pytest.approx([20])
    assert landmark_error_percent(moved, truth, eye_corners=(0, 1), count=3) == pytest.approx([10])


def test_summary():
    summary = error_summary(np.arange(101.0))
    assert summary == {"mean_percent": 50, "median_percent": 50, "p95_percent": 95}
