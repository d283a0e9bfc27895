"""Hull masks against scipy's hulls and morphology."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_dilation
from scipy.spatial import ConvexHull

from smirk3d.masking import convex_hull, dilate, face_hull_mask


def pixel_centers(height, width):
    x = (2 * np.arange(width) + 1) / width - 1
    y = (2 * np.arange(height) + 1) / height - 1
    return np.stack(np.meshgrid(x, y), axis=-1)


def mask_by_scipy(points, height, width):
    """(H,W) signed distance of pixel centres from the hull, negative inside."""
    equations = ConvexHull(points).equations
    return (pixel_centers(height, width) @ equations[:, :2].T + equations[:, 2]).max(axis=-1)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(3, 200), st.sampled_from([0.2, 0.8, 3.0]), st.booleans())
def test_mask_equals_scipy(seed, count, spread, is_round):
    random = np.random.default_rng(seed)
    points = random.normal(0, spread, (4, count, 2))
    if is_round:  # every point is a corner of the hull
        points = spread * points / np.linalg.norm(points, axis=-1, keepdims=True)
    mask = face_hull_mask(torch.from_numpy(points), (20, 31))
    assert mask.shape == (4, 1, 20, 31) and mask.dtype == torch.bool
    for image, cloud in zip(mask[:, 0].numpy(), points, strict=True):
        distance = mask_by_scipy(cloud, 20, 31)
        clear = abs(distance) > 1e-9
        np.testing.assert_array_equal(image[clear], (distance < 0)[clear])


def test_corners_are_scipys_corners():
    points = np.random.default_rng(0).normal(0, 1, (3, 100, 2))
    hull = convex_hull(torch.from_numpy(points)).numpy()
    for corners, cloud in zip(hull, points, strict=True):
        expected = cloud[ConvexHull(cloud).vertices]
        assert {tuple(corner) for corner in corners} == {tuple(corner) for corner in expected}
        step = np.roll(corners, -1, axis=0) - corners
        turn = step[:, 0] * np.roll(step, -1, axis=0)[:, 1] - step[:, 1] * np.roll(step, -1, axis=0)[:, 0]
        assert (turn >= -1e-12).all()


def test_rectangle_with_points_on_its_sides_and_copies():
    side = torch.linspace(-0.5, 0.5, 17)
    points = torch.cartesian_prod(side, side).repeat(2, 1)[None]
    mask = face_hull_mask(points, 16)[0, 0]
    assert mask[4:12, 4:12].all() and mask.sum() == 64


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([[0.125, 0.125]], [(4, 4)]),
        ([[0.125, -0.375], [0.125, 0.375]], [(2, 4), (3, 4), (4, 4), (5, 4)]),
        ([[-0.375, 0.125], [0.375, 0.125]], [(4, 2), (4, 3), (4, 4), (4, 5)]),
        ([[-0.375, -0.375], [0.375, 0.375], [0.125, 0.125]], [(2, 2), (3, 3), (4, 4), (5, 5)]),
        ([[5.0, 5.0], [6.0, 5.0], [5.0, 6.0]], []),
    ],
)
def test_flat_and_distant_hulls(points, expected):
    mask = face_hull_mask(torch.tensor([points]), 8)[0, 0]
    assert [tuple(pixel) for pixel in mask.nonzero().tolist()] == expected


def test_batch_equals_loop():
    points = torch.randn(5, 40, 2, generator=torch.Generator().manual_seed(1))
    points[2] = points[2, :1]  # one image has a hull of a single point
    batch = face_hull_mask(points, 32)
    assert torch.equal(batch, torch.cat([face_hull_mask(one[None], 32) for one in points]))


@pytest.mark.parametrize("points", [torch.zeros(4, 2), torch.zeros(1, 0, 2), torch.full((1, 4, 2), torch.nan)])
def test_refused_landmarks(points):
    with pytest.raises(ValueError, match="points must be"):
        face_hull_mask(points, 8)


@pytest.mark.parametrize("radius_px", [0, 1, 10])
def test_dilation_equals_scipy(radius_px):
    mask = torch.rand(2, 1, 40, 50, generator=torch.Generator().manual_seed(2)) < 0.004
    grown = dilate(mask, radius_px)
    square = np.ones((2 * radius_px + 1, 2 * radius_px + 1))
    for image, expected in zip(grown[:, 0].numpy(), mask[:, 0].numpy(), strict=True):
        np.testing.assert_array_equal(image, binary_dilation(expected, square))
