"""Colours move with the skin, and only where it is visible."""

import pytest
import torch

from smirk3d.masking import MeshView, in_place_samples, sample_surface_points, transferred_samples, visible_points
from smirk3d.render import rasterize

SIZE = 32


def plate(x0, y0, x1, y1, z):
    """A rectangle in image space that faces the camera: vertices (4,3)."""
    return torch.tensor([[x0, y1, z], [x1, y1, z], [x1, y0, z], [x0, y0, z]])


FACES = torch.tensor([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
FRONT = plate(-0.25, -0.25, 0.25, 0.25, -0.5)
BEHIND = plate(-0.75, -0.75, 0.75, 0.75, 0.0)


def view(vertices):
    return MeshView(vertices, rasterize(vertices, FACES, SIZE).depth[:, None])


def sampled(vertices, count=400):
    return sample_surface_points(vertices, FACES, torch.ones(4), count, torch.Generator().manual_seed(0))


@pytest.fixture
def plates():
    """A small plate in front of a larger one, and the same with the small one moved by 4 pixels."""
    original = torch.cat([FRONT, BEHIND])[None]
    moved = original.clone()
    moved[:, :4, 0] += 4 * 2 / SIZE
    return original, moved


def test_occluded_points_are_hidden(plates):
    points = sampled(plates[0])
    shown = visible_points(points, view(plates[0]), FACES)[0]
    on_front = points.face_index[0] < 2
    covered = (points.positions(plates[0], FACES)[0, :, :2].abs() < 0.25).all(dim=-1)
    assert torch.equal(shown, on_front | ~covered)
    assert 0 < int((~shown).sum()) < 400


def test_points_that_turn_away_or_leave_the_image_are_hidden(plates):
    points = sampled(plates[0])
    mirrored = plates[0] * torch.tensor([-1.0, 1, 1])
    assert not visible_points(points, view(mirrored), FACES).any()
    outside = plates[0] + torch.tensor([3.0, 0, 0])
    assert not visible_points(points, view(outside), FACES).any()


def test_a_slanted_surface_does_not_hide_itself():
    x = torch.tensor([-0.5, 0.5, 0.5, -0.5])
    slanted = torch.stack([x, FRONT[:, 1], 3 * x], dim=1)  # 72 degrees from frontal
    vertices = torch.cat([slanted, BEHIND + torch.tensor([0, 0, 9.0])])[None]
    big = MeshView(vertices, rasterize(vertices, FACES, 224).depth[:, None])
    points = sampled(vertices)
    on_slant = points.face_index < 2
    assert visible_points(points, big, FACES)[on_slant].all()


def test_points_stay_in_place_in_the_reconstruction_path(plates):
    points = sampled(plates[0])
    samples = in_place_samples(points, view(plates[0]), FACES)
    assert torch.equal(samples.source_px, samples.target_px) and samples.valid.all()


@pytest.mark.parametrize(("columns", "rows"), [(3, 0), (0, -2), (-4, 4)])
def test_moving_the_mesh_moves_the_pixels(plates, columns, rows):
    shift = torch.tensor([columns, rows])
    moved = plates[0] + torch.cat([shift * 2 / SIZE, torch.zeros(1)])
    points = sampled(plates[0])
    samples = transferred_samples(points, view(plates[0]), view(moved), FACES)
    assert torch.equal(samples.target_px, samples.source_px + shift)
    assert torch.equal(samples.valid, visible_points(points, view(plates[0]), FACES))


def test_points_hidden_in_either_view_are_not_written(plates):
    original, moved = plates
    points = sampled(original, 2000)
    samples = transferred_samples(points, view(original), view(moved), FACES)
    x, y = points.positions(original, FACES)[0, :, :2].T
    behind = points.face_index[0] >= 2
    in_front_before = (x.abs() < 0.25) & (y.abs() < 0.25)
    in_front_after = ((x - 0.25).abs() < 0.25) & (y.abs() < 0.25)
    assert torch.equal(samples.valid[0], ~(behind & (in_front_before | in_front_after)))


def test_invalid_points_stay_invalid(plates):
    turned_away = plates[0] * torch.tensor([-1.0, 1, 1])
    points = sample_surface_points(turned_away, FACES, torch.ones(4), 5, torch.Generator())
    assert not in_place_samples(points, view(turned_away), FACES).valid.any()
    assert not transferred_samples(points, view(plates[0]), view(plates[0]), FACES).valid.any()
