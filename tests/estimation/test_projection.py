"""Projection of many heads against `Camera`; derivatives against autograd and finite differences."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from smirk3d.estimation.projection import Pose, project
from smirk3d.geometry.align import Similarity

FOCALS = pytest.mark.parametrize("focal_px", [float("inf"), 500.0, 3000.0])


def random_pose(focal_px: float, batch: int = 3, seed: int = 0) -> Pose:
    random = np.random.default_rng(seed)
    return Pose(
        torch.from_numpy(Rotation.from_rotvec(random.normal(size=(batch, 3))).as_matrix()),
        torch.from_numpy(random.uniform(500, 900, batch)),
        torch.from_numpy(random.normal(0, 40, (batch, 2))),
        torch.from_numpy(random.uniform(200, 400, (batch, 2))),
        torch.full((batch,), focal_px, dtype=torch.float64),
    )


def random_points(batch: int = 3, seed: int = 1) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(0, 0.08, (batch, 7, 3)))


@FOCALS
def test_as_the_camera(focal_px):
    pose, points = random_pose(focal_px), random_points()
    image, _, _ = project(points, pose)
    for index in range(3):
        camera = pose.camera(index)
        assert (camera.focal_px is None) == (focal_px == float("inf"))
        np.testing.assert_allclose(image[index], camera.project(points[index].numpy()), atol=1e-4)
        origin = camera.project(np.zeros((1, 3)))[0]
        np.testing.assert_allclose(origin, pose.center_px[index] + pose.offset_px[index], atol=1e-4)


@FOCALS
def test_derivatives_by_the_pose(focal_px):
    pose, points = random_pose(focal_px), random_points()
    _, pose_jacobian, _ = project(points, pose)
    assert pose_jacobian.shape == (3, 7, 2, 6)
    # Central differences: autograd has its own case for a rotation vector of zero.
    for entry in range(6):
        step = torch.zeros(3, 6, dtype=torch.float64)
        step[:, entry] = 1e-6
        difference = project(points, pose.moved(step))[0] - project(points, pose.moved(-step))[0]
        torch.testing.assert_close(pose_jacobian[..., entry], difference / 2e-6, atol=1e-3, rtol=1e-5)


@FOCALS
def test_derivatives_by_the_point(focal_px):
    pose, points = random_pose(focal_px), random_points()
    _, _, point_jacobian = project(points, pose)
    jacobian = torch.autograd.functional.jacobian(lambda x: project(x, pose)[0], points)
    assert isinstance(jacobian, torch.Tensor)
    for head in range(3):
        for point in range(7):
            torch.testing.assert_close(point_jacobian[head, point], jacobian[head, point, :, head, point])


def test_a_long_focal_length_is_orthographic():
    points = random_points()
    for near, far in zip(project(points, random_pose(1e12)), project(points, random_pose(float("inf"))), strict=True):
        torch.testing.assert_close(near, far, atol=1e-4, rtol=1e-6)


def test_no_step_is_no_change_and_steps_stay_rotations():
    pose = random_pose(500.0)
    same = pose.moved(torch.zeros(3, 6, dtype=torch.float64))
    torch.testing.assert_close(same.rotmat, pose.rotmat)
    torch.testing.assert_close(same.scale, pose.scale)
    rotated = pose.moved(torch.ones(3, 6, dtype=torch.float64))
    eye = torch.eye(3, dtype=torch.float64).expand(3, 3, 3)
    torch.testing.assert_close(rotated.rotmat @ rotated.rotmat.mT, eye)
    assert (rotated.scale / pose.scale < 1.4).all()  # a large step cannot enlarge the head without limit
    torch.testing.assert_close(rotated.center_px, pose.center_px)


def test_from_a_similarity():
    pose, points = random_pose(float("inf")), random_points()
    rotated = points @ pose.rotmat.mT
    similarity = Similarity(pose.scale, pose.rotmat, torch.tensor([[5.0, 7.0, 9.0]]).expand(3, 3))
    image, _, _ = project(points, Pose.from_similarity(similarity, pose.center_px, pose.focal_px))
    x, y = (pose.scale[:, None] * rotated[..., k] for k in (0, 1))
    expected = torch.stack([x + 5, -(y + 7)], dim=-1) + pose.center_px[:, None]
    torch.testing.assert_close(image, expected)


def test_points_behind_the_camera_stay_finite():
    pose = random_pose(100.0)  # 0.15 m away
    image, pose_jacobian, point_jacobian = project(10 * random_points(), pose)
    for values in (image, pose_jacobian, point_jacobian):
        assert values.isfinite().all()
