"""The landmark fit on annotated landmarks."""

from types import SimpleNamespace

import numpy as np
import pytest
from evaluation_faces import face_points

from smirk3d.datasets.landmark_annotations import LandmarkAnnotations
from smirk3d.detection.detector import Detection
from smirk3d.estimation.reconstructor import DetectedPhoto
from smirk3d.evaluation.landmark_accuracy import landmark_fit_result
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.media.images import Photo


def fitted(jaw: float, shape: list[float], shift_px: float = 0.0) -> SimpleNamespace:
    """Return a face whose landmarks are `face_points`, moved."""
    arkit = {name: jaw if name == "jawOpen" else 0.0 for name in ARKIT_NAMES}
    points = face_points() + np.array([shift_px, 0])
    return SimpleNamespace(landmarks=lambda name: points, shape=np.array(shape), arkit=arkit)


def annotated() -> DetectedPhoto:
    points = face_points()
    found = Detection(points, points[:, 0], np.zeros(52, np.float32), np.zeros(4), 1.0)
    return DetectedPhoto(Photo(np.zeros((48, 48, 3), np.uint8)), (found,))


def test_errors_and_weights_by_emotion():
    faces = [fitted(0.8, [1.0, -1.0]), fitted(0.4, [0.0, 3.0]), fitted(0.0, [0.0, 0.0], shift_px=2.0)]
    annotations = LandmarkAnnotations(["a", "b", "c"], ["fear", "fear", ""], [annotated() for _ in faces])
    result = landmark_fit_result(annotations, faces)  # type: ignore[arg-type]
    assert result.by_sample == pytest.approx({"a": 0, "b": 0, "c": 10}, abs=1e-4)  # the eye corners are 20 px apart
    assert result.figures["mean_percent"] == pytest.approx(10 / 3) and result.figures["median_percent"] == 0
    assert result.figures["max_weight"] == 0.8 and result.figures["min_weight"] == 0 and result.faces == 3
    assert result.figures["mean_abs_shape"] == pytest.approx(5 / 6) and result.figures["max_abs_shape"] == 3
    assert result.figures["max_face_abs_shape"] == 1.5
    assert list(result.blendshapes) == ["mean_fear"]
    assert result.blendshapes["mean_fear"][ARKIT_NAMES.index("jawOpen")] == pytest.approx(0.6)
