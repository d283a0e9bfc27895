"""Landmarks, mirror and jitter: what known answers get."""

import numpy as np
import pytest
import torch
from evaluation_faces import SIZE, FakeMethod, Silent, photo_set

from smirk3d.evaluation.landmarks import measure_landmarks
from smirk3d.evaluation.mirror import measure_mirror, mirrored
from smirk3d.evaluation.photos import face_observation
from smirk3d.evaluation.result import MeasureNotApplicableError
from smirk3d.evaluation.temporal_stability import JitterPerturbation, jittered_frame, measure_jitter
from smirk3d.head.arkit import ARKIT_MIRROR, ARKIT_NAMES

LEFT = [k for k, name in enumerate(ARKIT_NAMES) if name.endswith("Left")]
RIGHT = [ARKIT_MIRROR[k] for k in LEFT]
STILL = JitterPerturbation(shift_px=0, zoom=0, turn_deg=0, noise_std=0)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def sides(pixels: np.ndarray) -> np.ndarray:
    """Left actions say how bright the right half of the picture is, where the subject's left is, and conversely."""
    weights = np.zeros(52, np.float32)
    weights[LEFT], weights[RIGHT] = pixels[:, SIZE // 2 :].mean() / 255, pixels[:, : SIZE // 2].mean() / 255
    return weights


def test_landmarks_measured():
    display = Silent()
    result = measure_landmarks(FakeMethod(sides, shift_px=2.0), photo_set(40, lost=3), display)
    assert (result.faces, result.left_out, display.count) == (37, 3, 40)
    assert list(result.figures.values()) == pytest.approx([10, 10, 10], abs=1e-3)


def test_mirroring_twice_gives_the_same():
    face = face_observation(photo_set(1).records[0])
    once = mirrored(face)
    twice = mirrored(once)
    assert np.array_equal(once.photo.pixels, face.photo.pixels[:, ::-1])
    assert not np.allclose(once.detection.landmarks_px, face.detection.landmarks_px)
    assert np.allclose(twice.detection.landmarks_px, face.detection.landmarks_px, atol=1e-4)
    assert np.array_equal(twice.detection.blendshape_scores, face.detection.blendshape_scores)
    assert once.detection.landmarks_px[33, 0] == pytest.approx(SIZE - face.detection.landmarks_px[263, 0])


def test_mirror_measured():
    result = measure_mirror(FakeMethod(sides), photo_set(6, lost=2), Silent())
    assert result.figures["mean_difference"] == pytest.approx(0, abs=1e-6) and result.left_out >= 2
    lopsided = FakeMethod(lambda pixels: sides(pixels) * (np.arange(52) != LEFT[0]))
    assert measure_mirror(lopsided, photo_set(6), Silent()).blendshapes["difference"][LEFT[0]] > 0.1


def test_a_frame_that_does_not_tremble_is_the_photo():
    pixels = face_observation(photo_set(1).records[0]).photo.pixels
    assert np.array_equal(jittered_frame(pixels, np.array([20.0, 20.0]), STILL, seeded()), pixels)


def test_a_frame_stays_within_its_bounds():
    """A dot far from the centre moves by less than shift, zoom and turn together allow, and does move."""
    pixels = np.zeros((101, 101, 3), np.uint8)
    pixels[50, 90] = 255
    center = np.array([50.5, 50.5])
    generator = seeded()
    most = np.hypot(1, 1) + 40 * (0.02 + np.radians(2) * 1.02)
    moved = []
    for _ in range(20):
        face = jittered_frame(pixels, center, JitterPerturbation(noise_std=0), generator).astype(float)[..., 0]
        rows, columns = np.indices(face.shape) + 0.5
        moved.append(np.hypot((rows * face).sum() / face.sum() - 50.5, (columns * face).sum() / face.sum() - 90.5))
    assert 0.5 < max(moved) < most


def test_jitter_measured():
    constant = FakeMethod(lambda pixels: np.full(52, 0.3, np.float32))
    result = measure_jitter(constant, photo_set(4, lost=1), Silent(), seeded())
    assert result.figures["mean_std"] == pytest.approx(0, abs=1e-7) and (result.faces, result.left_out) == (3, 1)
    calm = measure_jitter(FakeMethod(sides), photo_set(4), Silent(), seeded()).figures
    wild = measure_jitter(FakeMethod(sides), photo_set(4), Silent(), seeded(), JitterPerturbation(shift_px=8)).figures
    assert 0 < calm["mean_std"] < wild["mean_std"] and calm["mean_std"] < calm["worst_action_std"]
    assert calm["mean_std_between_faces"] > 10 * calm["mean_std"]


@pytest.mark.parametrize("measure", [measure_landmarks, measure_mirror])
def test_without_a_face_there_is_nothing_to_measure(measure):
    with pytest.raises(MeasureNotApplicableError, match="no face"):
        measure(FakeMethod(sides), photo_set(2, lost=2), Silent())
    with pytest.raises(MeasureNotApplicableError, match="no face"):
        measure_jitter(FakeMethod(sides), photo_set(2, lost=2), Silent(), seeded())
