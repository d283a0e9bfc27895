"""Predictions against the ground truth of rendered heads."""

import numpy as np
import pytest
import torch
from evaluation_faces import Silent

from smirk3d.datasets.synthetic.scene_sampling import random_expression
from smirk3d.evaluation.synthetic_accuracy import measure_pose, measure_synthetic, rotation_error_deg
from smirk3d.evaluation.synthetic_set import SyntheticTestSet
from smirk3d.geometry.euler import rotation_from_angles
from smirk3d.head.arkit import ARKIT_NAMES

KINDS = np.array(["neutral", "single", "one_sided", "combination"] * 150)


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    generator = torch.Generator().manual_seed(0)
    return torch.stack([random_expression(str(kind), generator) for kind in KINDS]).numpy()  # type: ignore[arg-type]


def test_measured_in_batches_in_order(truth):
    """Each picture's first pixels hold the row's number: a method that returns the truth of that row is perfect."""
    count = 70
    pixels = np.zeros((count, 2, 2, 3), np.uint8)
    pixels[:, 0, 0, 0] = np.arange(count)

    class Oracle:
        method = "fit"

        def weights(self, face_observations):
            return np.stack([truth[each.photo.pixels[0, 0, 0]] for each in face_observations])

    points = np.random.default_rng(0).uniform(size=(count, 478, 2)).astype(np.float32)
    empty = np.zeros((count, 478), np.float32)
    rotmat = np.broadcast_to(np.eye(3), (count, 3, 3))
    scores = np.zeros((count, 52), np.float32)
    pictures = SyntheticTestSet(
        pixels, truth[:count], KINDS[:count], rotmat, points, empty, scores, np.ones(count), missed=2
    )
    display = Silent()
    result = measure_synthetic(Oracle(), pictures, display)  # type: ignore[arg-type]
    assert (result.faces, result.left_out, display.count) == (count, 2, count)
    assert result.figures["mean_correlation"] == pytest.approx(1) and result.figures["mean_error"] == 0
    assert set(result.blendshapes) == {"correlation", "error", "rms"}
    assert all(len(column) == len(ARKIT_NAMES) for column in result.blendshapes.values())


def test_rotation_error_is_the_angle_between_rotations():
    identity, turned = np.eye(3), rotation_from_angles(0, 0, 30)
    assert rotation_error_deg(turned, identity) == pytest.approx(30)
    assert rotation_error_deg(turned, turned) == pytest.approx(0, abs=1e-5)
    assert rotation_error_deg(rotation_from_angles(180, 0, 0), identity) == pytest.approx(180)


def test_pose_of_rendered_heads(make_face):
    """Two faces, the second one turned by 10° more than the truth."""
    angles = [(20.0, 0.0, 0.0), (-30.0, 0.0, 0.0)]
    faces = [make_face({}, angles_deg=(20.0, 0.0, 0.0)), make_face({}, angles_deg=(-40.0, 0.0, 0.0))]

    class Oracle:
        method = "fit"

        def faces(self, observations):
            return faces[: len(observations)]

    points = np.random.default_rng(0).uniform(size=(2, 478, 2)).astype(np.float32)
    zeros = np.zeros((2, 478), np.float32)
    pictures = SyntheticTestSet(
        pixels=np.zeros((2, 2, 2, 3), np.uint8),
        expression=np.zeros((2, 52)),
        kind=np.array(["neutral", "neutral"]),
        rotmat=np.stack([rotation_from_angles(*each) for each in angles]),
        landmarks_px=points,
        depth=zeros,
        scores=np.zeros((2, 52)),
        score=np.ones(2),
    )
    result = measure_pose(Oracle(), pictures, Silent())  # type: ignore[arg-type]
    assert result.figures["rotation_error_deg"] == pytest.approx(5, abs=0.01)
    assert result.figures["yaw_error_deg"] == pytest.approx(5, abs=0.01)
