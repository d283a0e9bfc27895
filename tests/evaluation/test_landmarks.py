"""Landmark errors of known predictions."""

import pytest
from evaluation_faces import FakeMethod, Silent, brightness_of_sides, photo_set

from smirk3d.evaluation.landmarks import measure_landmarks
from smirk3d.evaluation.result import MeasureNotApplicableError


def test_a_shift_is_an_error_in_percent_of_the_eye_distance():
    display = Silent()
    result = measure_landmarks(FakeMethod(brightness_of_sides, shift_px=2.0), photo_set(40, lost=3), display)
    assert (result.faces, result.left_out, display.count) == (37, 3, 40)
    assert list(result.figures.values()) == pytest.approx([10, 10, 10], abs=1e-3)


def test_without_a_face_there_is_nothing_to_measure():
    with pytest.raises(MeasureNotApplicableError, match="no face"):
        measure_landmarks(FakeMethod(brightness_of_sides), photo_set(2, lost=2), Silent())
