"""Mirror images: equivariant predictions and others."""

import numpy as np
import pytest
from evaluation_faces import LEFT, SIZE, FakeMethod, Silent, brightness_of_sides, photo_set

from smirk3d.evaluation.mirror import measure_mirror, mirrored
from smirk3d.evaluation.photos import face_observation
from smirk3d.evaluation.result import MeasureNotApplicableError


def test_mirroring_twice_gives_the_same():
    face = face_observation(photo_set(1).records[0])
    once = mirrored(face)
    twice = mirrored(once)
    assert np.array_equal(once.photo.pixels, face.photo.pixels[:, ::-1])
    assert not np.allclose(once.detection.landmarks_px, face.detection.landmarks_px)
    assert np.allclose(twice.detection.landmarks_px, face.detection.landmarks_px, atol=1e-4)
    assert np.array_equal(twice.detection.blendshape_scores, face.detection.blendshape_scores)
    assert once.detection.landmarks_px[33, 0] == pytest.approx(SIZE - face.detection.landmarks_px[263, 0])


def test_equivariant_predictions_have_no_difference():
    result = measure_mirror(FakeMethod(brightness_of_sides), photo_set(6, lost=2), Silent())
    assert result.figures["mean_difference"] == pytest.approx(0, abs=1e-6) and result.left_out >= 2
    one_sided = FakeMethod(lambda pixels: brightness_of_sides(pixels) * (np.arange(52) != LEFT[0]))
    assert measure_mirror(one_sided, photo_set(6), Silent()).blendshapes["difference"][LEFT[0]] > 0.1


def test_without_a_face_there_is_nothing_to_measure():
    with pytest.raises(MeasureNotApplicableError, match="no face"):
        measure_mirror(FakeMethod(brightness_of_sides), photo_set(2, lost=2), Silent())
