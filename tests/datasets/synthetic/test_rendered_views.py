"""Rendered people in several views: reproducible, and true to their keypoints."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn.functional import grid_sample

from smirk3d.datasets.synthetic import rendered_views
from smirk3d.datasets.synthetic.rendered_views import VIEWS, RenderedViews, Views
from smirk3d.head.model import HeadModel
from smirk3d.reenactment.transformer.keypoints import DENSE, grid_positions
from smirk3d.reenactment.transformer.network import keypoint_motion

SIZE, COUNT = 48, 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("views")


@pytest.fixture(scope="module")
def views(open_head: HeadModel, folder: Path) -> Views:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rendered_views, "SHARD", COUNT)
        patch.setattr(rendered_views, "APPEARANCE_COUNT", 1)
        return RenderedViews(open_head, COUNT, 3, SIZE, folder=folder).batch(torch.arange(COUNT))


def test_views_have_their_truth(views: Views) -> None:
    assert views.images.shape == (COUNT, VIEWS, 3, SIZE, SIZE)
    assert views.points_ndc.shape == (COUNT, VIEWS, 478, 2)
    assert float(views.weights.min()) >= 0 and float(views.weights.max()) <= 1
    assert float(views.points_ndc.abs().mean()) < 1
    assert views.images.std(dim=(1, 2, 3, 4)).min() > 0.02


def test_the_first_two_views_share_the_background_and_others_do_not(views: Views) -> None:
    corner = views.images[..., :4, :4].mean((-1, -2))
    assert (corner[:, 0] - corner[:, 1]).abs().max(1).values.median() < 0.01
    assert (corner[:, 0] - corner[:, 2]).abs().max(1).values.median() > 0.05


def test_keypoints_tell_how_the_face_moved(views: Views) -> None:
    dense = views.points_ndc[:, :, list(DENSE)]
    motion = keypoint_motion(dense[:, 1], dense[:, :1], SIZE)[:, 0]
    at = grid_positions(SIZE).view(1, SIZE, SIZE, 2) + motion.permute(0, 2, 3, 1)
    moved = grid_sample(views.images[:, 0], at, padding_mode="border", align_corners=False)
    truth = views.images[:, 1]
    errors = [(each - truth).square().mean() for each in (moved, views.images[:, 0])]
    assert errors[0] < 0.8 * errors[1]


def test_pictures_are_read_again(open_head: HeadModel, folder: Path, views: Views) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rendered_views, "SHARD", COUNT)
        patch.setattr(rendered_views, "APPEARANCE_COUNT", 1)
        patch.setattr(RenderedViews, "_make", None)
        again = RenderedViews(open_head, COUNT, 3, SIZE, folder=folder).batch(torch.arange(COUNT))
    torch.testing.assert_close(again.images, views.images)
    torch.testing.assert_close(again.pose, views.pose)
