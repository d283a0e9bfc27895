"""Jitter of known predictions."""

import numpy as np
import pytest
from evaluation_faces import FakeMethod, Silent, brightness_of_sides, photo_set, seeded

from smirk3d.evaluation.photos import face_observation
from smirk3d.evaluation.result import MeasureNotApplicableError
from smirk3d.evaluation.temporal_stability import JitterPerturbation, jittered_frame, measure_jitter

STILL = JitterPerturbation(shift_px=0, zoom=0, turn_deg=0, noise_std=0)


def test_a_frame_without_perturbation_is_the_photo():
    pixels = face_observation(photo_set(1).records[0]).photo.pixels
    assert np.array_equal(jittered_frame(pixels, np.array([20.0, 20.0]), STILL, seeded()), pixels)


def test_a_perturbation_stays_within_its_bounds():
    """A dot far from the centre moves by less than shift, zoom and turn together allow, and does move."""
    pixels = np.zeros((101, 101, 3), np.uint8)
    pixels[50, 90] = 255
    center = np.array([50.5, 50.5])
    generator = seeded()
    limit = np.hypot(1, 1) + 40 * (0.02 + np.radians(2) * 1.02)
    moved = []
    for _ in range(20):
        face = jittered_frame(pixels, center, JitterPerturbation(noise_std=0), generator).astype(float)[..., 0]
        rows, columns = np.indices(face.shape) + 0.5
        moved.append(np.hypot((rows * face).sum() / face.sum() - 50.5, (columns * face).sum() / face.sum() - 90.5))
    assert 0.5 < max(moved) < limit


def test_larger_perturbations_give_more_jitter():
    constant = FakeMethod(lambda pixels: np.full(52, 0.3, np.float32))
    result = measure_jitter(constant, photo_set(4, lost=1), Silent(), seeded())
    assert result.figures["mean_std"] == pytest.approx(0, abs=1e-7) and (result.faces, result.left_out) == (3, 1)
    small = measure_jitter(FakeMethod(brightness_of_sides), photo_set(4), Silent(), seeded()).figures
    large = measure_jitter(
        FakeMethod(brightness_of_sides), photo_set(4), Silent(), seeded(), JitterPerturbation(shift_px=8)
    ).figures
    assert 0 < small["mean_std"] < large["mean_std"] and small["mean_std"] < small["worst_action_std"]
    assert small["mean_std_between_faces"] > 10 * small["mean_std"]


def test_without_a_face_there_is_nothing_to_measure():
    with pytest.raises(MeasureNotApplicableError, match="no face"):
        measure_jitter(FakeMethod(brightness_of_sides), photo_set(2, lost=2), Silent(), seeded())
