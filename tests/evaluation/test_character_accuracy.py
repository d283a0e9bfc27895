"""The test set of a character."""

from __future__ import annotations

import numpy as np
import pytest
from evaluation_faces import Silent, face_points

from smirk3d.detection.detector import Detection
from smirk3d.evaluation.character_accuracy import character_test_set
from smirk3d.evaluation.character_mesh import CharacterMesh
from smirk3d.evaluation.character_renderer import CharacterRenderer
from smirk3d.evaluation.result import MeasureNotApplicableError


def test_pictures_without_a_face_are_left_out(character: CharacterMesh) -> None:
    """A face is found in every second picture."""
    calls, display = [], Silent()

    def detect(pixels: np.ndarray) -> list[Detection]:
        calls.append(pixels)
        points = face_points(len(calls))
        found = Detection(points, points[:, 0], np.zeros(52, np.float32), np.zeros(4), 1.0)
        return [found] if len(calls) % 2 else []

    found = character_test_set(CharacterRenderer(character), detect, display, count=4, seed=5)
    assert (len(found), found.missed, display.count) == (2, 2, 4)
    assert np.array_equal(found.pixels[1], calls[2]) and np.array_equal(found.landmarks_px[1], face_points(3))
    with pytest.raises(MeasureNotApplicableError, match="no face was found in any of 2 pictures"):
        character_test_set(CharacterRenderer(character), lambda pixels: [], display, count=2, seed=5)
