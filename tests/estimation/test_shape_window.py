"""What the network of identity reads of a face: independent of where the face is, and of sides."""

import numpy as np
import pytest
import torch

from smirk3d.estimation.shape_window import (
    WINDOW_PX,
    face_texture,
    grid_size,
    landmark_features,
    mean_landmarks,
    mirrored,
    n_features,
    normalised,
    window_layout,
)
from smirk3d.geometry.align import Similarity, align
from smirk3d.head.arkit import ARKIT_MIRROR
from smirk3d.head.model import HeadModel

SIDE_PX = 240


@pytest.fixture(scope="module")
def landmarks_px(open_head: HeadModel) -> np.ndarray:
    """The mean head, turned a little, in the middle of a photo."""
    points = mean_landmarks(open_head).numpy()
    x = points[:, 0] + 0.2 * points[:, 2]
    return (np.stack([x, -points[:, 1]], axis=1) * 900 + SIDE_PX / 2).astype(np.float32)


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """A smooth picture without symmetry."""
    x, y = np.meshgrid(np.arange(SIDE_PX), np.arange(SIDE_PX))
    grey = 120 + 60 * np.sin(x / 9) + 50 * np.cos(y / 13 + x / 40)
    return np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)


def test_the_texture_of_a_turned_photo_is_the_same(open_head, pixels, landmarks_px):
    turned = np.rot90(pixels, axes=(1, 0))  # clockwise
    points = np.stack([SIDE_PX - landmarks_px[:, 1], landmarks_px[:, 0]], axis=1)
    upright, other = (
        face_texture(window_layout(open_head), *each) for each in ((pixels, landmarks_px), (turned.copy(), points))
    )
    assert upright.shape == WINDOW_PX and upright.std() > 20
    assert np.abs(upright - other).mean() < 1.0


def test_the_texture_of_a_mirrored_photo_is_mirrored(open_head, pixels, landmarks_px):
    partner = open_head.landmark_embedding("mediapipe").mirror.numpy()
    points = landmarks_px[partner] * [-1, 1] + [SIDE_PX, 0]
    texture, other = (
        face_texture(window_layout(open_head), *each)
        for each in ((pixels, landmarks_px), (pixels[:, ::-1].copy(), points))
    )
    assert np.abs(texture[:, ::-1] - other).mean() < 2.5 < np.abs(texture - other).mean()


def test_pixels_follow_the_landmarks(open_head, landmarks_px):
    moved = landmarks_px + np.where(landmarks_px[:, :1] > SIDE_PX / 2, 5, 0)
    layout = window_layout(open_head)
    there, here = (layout.place(each).reshape(*grid_size(), 2) for each in (moved, landmarks_px))
    middle = grid_size()[0] // 2
    assert (there - here)[middle, 60, 0] == pytest.approx(5, abs=0.2)
    assert (there - here)[middle, 20, 0] == pytest.approx(0, abs=0.2)


def features(head: HeadModel, points: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """Features of points (1, 478, 3), camera axes, of one face."""
    alignment = align(mean_landmarks(head)[None], points)
    flat = points[..., :2] * torch.tensor([1.0, -1.0])
    return landmark_features(head, flat, -points[..., 2], scores, alignment)


def test_features_do_not_depend_on_place_and_size_and_follow_sides(open_head):
    random = torch.Generator().manual_seed(0)
    mean = mean_landmarks(open_head)
    points = (mean + 0.003 * torch.randn(mean.shape, generator=random))[None]
    scores = torch.rand(1, 52, generator=random)
    own = features(open_head, points, scores)
    assert own.shape == (1, n_features()) and own[:, :1434].std() > 0.5
    moved = Similarity(torch.tensor([700.0]), torch.eye(3)[None], torch.tensor([[20.0, -30.0, 4.0]])).apply(points)
    torch.testing.assert_close(features(open_head, moved, scores), own, atol=1e-3, rtol=0)
    partner = open_head.landmark_embedding("mediapipe").mirror
    flipped = points[:, partner] * torch.tensor([-1.0, 1.0, 1.0])
    other = features(open_head, flipped, scores[:, list(ARKIT_MIRROR)])
    textures = torch.rand(1, *WINDOW_PX, generator=random)
    found_textures, found = mirrored(open_head, textures, own)
    torch.testing.assert_close(found, other, atol=5e-3, rtol=0)
    assert found_textures.equal(textures.flip(2))


def test_brightness_and_contrast_make_no_difference():
    textures = 255 * torch.rand(2, *WINDOW_PX, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(normalised(textures), normalised(0.5 * textures + 40), atol=0.1, rtol=0)
    assert normalised(torch.full((1, *WINDOW_PX), 80.0)).eq(0).all()
