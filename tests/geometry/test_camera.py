"""Cameras: directions of the axes, both projections, and the equivalent matrix."""

import numpy as np
import pytest
import torch

from smirk3d.geometry.camera import (
    DEFAULT_FIELD_OF_VIEW_DEG,
    MIN_DISTANCE_M,
    Camera,
    default_focal_px,
    project_orthographic,
)
from smirk3d.geometry.euler import rotation_from_angles


def camera(focal_px: float | None = None, angles=(0.0, 0.0, 0.0), scale: float = 1000.0) -> Camera:
    depth_m = 0.0 if focal_px is None else -focal_px / scale
    translation_m = np.array([0.02, 0.01, depth_m])
    return Camera(rotation_from_angles(*angles), translation_m, np.array([320.0, 240.0]), scale, focal_px)


@pytest.mark.parametrize("focal_px", [None, 800.0])
def test_axes_of_the_image(focal_px):
    origin, left, up = camera(focal_px).project(np.array([[0, 0, 0], [0.1, 0, 0], [0, 0.1, 0.0]]))
    np.testing.assert_allclose(origin, [320 + 20, 240 - 10])
    np.testing.assert_allclose(left - origin, [100, 0], atol=1e-9)  # the subject's left is right in the image
    np.testing.assert_allclose(up - origin, [0, -100], atol=1e-9)


def test_nearer_is_larger_with_a_focal_length_only():
    near = np.array([[0.05, 0, 0.1], [-0.05, 0, 0.1]])
    far = near - [0, 0, 0.2]

    def width(points: np.ndarray, focal_px: float | None) -> float:
        projected = camera(focal_px).project(points)
        return float(projected[0, 0] - projected[1, 0])

    assert width(near, 800.0) > 100 > width(far, 800.0)
    assert width(near, None) == pytest.approx(100) and width(far, None) == pytest.approx(100)


@pytest.mark.parametrize("focal_px", [None, 500.0, 4000.0])
def test_projection_follows_the_documented_formula(focal_px):
    view = camera(focal_px, angles=(25.0, -10.0, 7.0))
    points = np.random.default_rng(0).normal(scale=0.1, size=(9, 3))
    for point, pixel in zip(points, view.project(points), strict=True):
        x, y, z = view.rotation_rotmat @ point + view.translation_m
        gain = view.scale_px_per_m if focal_px is None else focal_px / -z
        np.testing.assert_allclose(pixel, [320 + gain * x, 240 - gain * y])


def test_the_matrix_projects_and_gives_the_depth():
    view = camera(700.0, angles=(10.0, 5.0, -3.0))
    point = np.array([0.03, -0.02, 0.08])
    u, v, w = view.matrix @ [*point, 1]
    np.testing.assert_allclose([u / w, v / w], view.project(point[None])[0])
    assert w == pytest.approx(view.depth(point[None])[0]) and w > 0
    assert (camera(None).matrix @ [*point, 1])[2] == 1


def test_depth_grows_away_from_the_viewer():
    for focal_px in (None, 800.0):
        nose, ear = camera(focal_px).depth(np.array([[0, 0, 0.1], [0, 0, -0.1]]))
        assert ear - nose == pytest.approx(0.2)


def test_a_very_long_lens_projects_orthographically():
    points = np.random.default_rng(1).normal(scale=0.1, size=(20, 3))
    angles = (20.0, 10.0, 0.0)
    difference = camera(1e8, angles).project(points) - camera(None, angles).project(points)
    assert np.abs(difference).max() < 1e-3


def test_default_focal_length_gives_the_field_of_view_along_the_long_side():
    for size in ((640, 480), (480, 640), (1000, 1000)):
        half_angle = np.arctan(max(size) / 2 / default_focal_px(*size, scale_px_per_m=500.0))
        assert np.rad2deg(2 * half_angle) == pytest.approx(DEFAULT_FIELD_OF_VIEW_DEG)


def test_a_face_that_fills_the_image_keeps_the_minimum_distance():
    focal_px = default_focal_px(400, 400, scale_px_per_m=2000.0)
    assert focal_px / 2000.0 == pytest.approx(MIN_DISTANCE_M)
    assert focal_px > default_focal_px(400, 400, scale_px_per_m=100.0)


def test_orthographic_camera_of_a_crop():
    points = torch.tensor([[[0.1, 0.2, 0.3], [0.0, 0.0, 0.0]]])
    parameters = torch.tensor([[7.0, 0.01, -0.02]])
    projected = project_orthographic(points, parameters)
    expected = torch.tensor([[[7 * 0.11, -7 * 0.18, -7 * 0.3], [7 * 0.01, 7 * 0.02, 0.0]]])
    torch.testing.assert_close(projected, expected)


def test_orthographic_camera_supports_batches_and_gradients():
    points = torch.randn(2, 3, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    parameters = torch.randn(2, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    projected = project_orthographic(points, parameters)
    torch.testing.assert_close(projected[1, 2], project_orthographic(points[1, 2], parameters[1, 2]))
    inputs = (points.requires_grad_(), parameters.requires_grad_())
    assert torch.autograd.gradcheck(project_orthographic, inputs)
