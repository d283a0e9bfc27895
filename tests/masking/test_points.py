"""Where surface points fall, how often, and what is never drawn."""

import numpy as np
import pytest
import torch
from scipy.stats import chi2

from smirk3d.masking import point_pixels, sample_surface_points, sampling_weights, signed_area
from smirk3d.masking.points import SurfacePoints
from smirk3d.params import FaceParams
from smirk3d.render import Renderer, project_orthographic

CAMERA = torch.tensor([[7.0, 0.0, 0.0]])


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def loose_triangles(count, batch=1, seed=0):
    """Unconnected triangles in image space, half of them turned away: vertices (B,3F,3), faces (F,3)."""
    vertices = torch.rand(batch, 3 * count, 3, generator=generator(seed)) * 1.6 - 0.8
    return vertices, torch.arange(3 * count).reshape(-1, 3)


@pytest.fixture(scope="module")
def turned_head(open_head):
    """Vertices of the open head turned by 40 degrees (1,V,3), and in image space."""
    vertices = open_head(FaceParams(pose=torch.tensor([[0.1, 0.7, 0.0]]))).vertices
    return vertices, project_orthographic(vertices, CAMERA)


def chi_square_is_small(observed, probability):
    """Whether counts agree with probabilities, at a level that one test in a million misses by chance."""
    observed, probability = np.asarray(observed, float), np.asarray(probability, float)
    assert observed[probability == 0].sum() == 0
    possible = probability > 0
    expected = probability[possible] * observed.sum()
    statistic = ((observed[possible] - expected) ** 2 / expected).sum()
    return statistic < chi2.ppf(1 - 1e-6, possible.sum() - 1)


def test_area_is_positive_where_the_outside_faces_the_camera():
    up = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])  # counter-clockwise with y up, seen from +z
    both = torch.stack([up, up[[0, 2, 1]]])
    area = signed_area(project_orthographic(both, torch.tensor([2.0, 0, 0])))
    torch.testing.assert_close(area, torch.tensor([2.0, -2.0]))


def test_what_the_renderer_shows_of_a_head_faces_the_camera(open_head, turned_head):
    # All parts: through the holes of the face alone one would see its back.
    output = Renderer(open_head)(turned_head[0], CAMERA, region="head")
    seen = output.fragments.face_index[output.mask[:, 0]]
    area = signed_area(turned_head[1][:, open_head.faces])[0]
    assert (area[seen] > 0).float().mean() > 0.995
    assert 0.3 < (area > 0).float().mean() < 0.7


def test_triangles_are_drawn_by_area_times_weight():
    vertices, faces = loose_triangles(30)
    weight = torch.rand(30, generator=generator(1)) * (torch.arange(30) % 4 > 0)
    points = sample_surface_points(vertices, faces, weight, 40000, generator())
    x, y = vertices[0, :, 0].numpy()[faces], -vertices[0, :, 1].numpy()[faces]
    area = 0.5 * ((x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (x[:, 2] - x[:, 0]) * (y[:, 1] - y[:, 0]))
    mass = area.clip(min=0) * weight.numpy()
    assert points.valid.all()
    assert chi_square_is_small(np.bincount(points.face_index[0], minlength=30), mass / mass.sum())


def test_regions_of_the_head_are_drawn_by_area_times_weight(open_head, turned_head):
    turned, ndc = turned_head
    weights = sampling_weights(open_head)
    points = sample_surface_points(ndc, open_head.faces, weights, 20000, generator())
    corners = turned[0].numpy()[open_head.faces.numpy()]
    area = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2].clip(min=0)
    names = ["lips", "nose", "forehead", "left_eye_region", "right_eye_region", "neck", "ears", "scalp", "eyeballs"]
    label = np.full(len(area), len(names))
    for number, name in enumerate(names):
        label[open_head.region_mask(name)[open_head.faces].all(dim=1).numpy()] = number
    mass = np.bincount(label, area * weights.numpy(), minlength=len(names) + 1)
    observed = np.bincount(label[points.face_index[0]], minlength=len(names) + 1)
    assert (mass[:5] > 0).all() and (mass[5:9] == 0).all()
    assert chi_square_is_small(observed, mass / mass.sum())


def test_points_lie_only_on_triangles_that_face_the_camera(open_head, turned_head):
    _, ndc = turned_head
    points = sample_surface_points(ndc, open_head.faces, torch.ones(len(open_head.faces)), 5000, generator())
    assert (signed_area(ndc[:, open_head.faces])[0, points.face_index[0]] > 0).all()


def test_points_fill_a_triangle_evenly():
    vertices, faces = torch.tensor([[[0.0, 0, 0], [0, 1, 0], [1, 0, 0]]]), torch.tensor([[0, 1, 2]])
    points = sample_surface_points(vertices, faces, torch.ones(1), 40000, generator())
    weights = points.barycentric[0]
    torch.testing.assert_close(weights.sum(-1), torch.ones(40000))
    assert (weights >= 0).all()
    # Cut at the middles of its sides, a triangle has four parts of one area.
    part = torch.where((weights > 0.5).any(-1), weights.argmax(-1), 3)
    assert chi_square_is_small(np.bincount(part, minlength=4), np.full(4, 0.25))


def test_points_depend_on_the_generator():
    vertices, faces = loose_triangles(20)
    one, same, other = (
        sample_surface_points(vertices, faces, torch.ones(20), 50, generator(seed)) for seed in (3, 3, 4)
    )
    assert torch.equal(one.face_index, same.face_index) and torch.equal(one.barycentric, same.barycentric)
    assert not torch.equal(one.barycentric, other.barycentric)


def test_batch_equals_loop():
    vertices, faces = loose_triangles(20, batch=3)
    weight, shared = torch.rand(20, generator=generator(5)), generator()
    batch = sample_surface_points(vertices, faces, weight, 64, generator())
    singles = [sample_surface_points(one[None], faces, weight, 64, shared) for one in vertices]
    assert torch.equal(batch.face_index, torch.cat([single.face_index for single in singles]))
    assert torch.equal(batch.barycentric, torch.cat([single.barycentric for single in singles]))
    pixels = point_pixels(batch, vertices, faces, 32)
    loop = [point_pixels(single, one[None], faces, 32) for single, one in zip(singles, vertices, strict=True)]
    assert torch.equal(pixels, torch.cat(loop))


def test_only_visible_triangles_are_drawn():
    vertices, faces = loose_triangles(20, batch=2)
    visible = torch.rand(2, 20, generator=generator(7)) < 0.5
    points = sample_surface_points(vertices, faces, torch.ones(20), 500, generator(), visible)
    assert points.valid.all() and visible.gather(1, points.face_index).all()


def test_an_image_without_anything_to_draw_has_no_valid_points():
    vertices, faces = loose_triangles(20, batch=3)
    away = signed_area(vertices[:1][:, faces])[0] < 0
    vertices[1] = vertices[0]
    vertices[2] = torch.nan
    weight = away.float()
    weight_of_both = torch.ones(20)
    assert not sample_surface_points(vertices[:1], faces, weight, 9, generator()).valid.any()
    points = sample_surface_points(vertices, faces, weight_of_both, 9, generator())
    assert points.valid.all(dim=1).tolist() == [True, True, False] and not points.valid[2].any()
    assert points.barycentric.isfinite().all() and (points.face_index >= 0).all() and (points.face_index < 20).all()


def test_last_draw_stays_on_a_triangle_with_weight(monkeypatch):
    vertices, faces = loose_triangles(20)
    weight = (torch.arange(20) < 10).float()
    almost_one = 1 - 2.0**-53
    monkeypatch.setattr(torch, "rand", lambda shape, **options: torch.full(shape, almost_one, dtype=torch.float64))
    points = sample_surface_points(vertices, faces, weight, 4, generator())
    assert (points.face_index < 10).all() and (signed_area(vertices[:, faces])[0, points.face_index] > 0).all()


def test_pixels_are_truncated_and_clamped():
    faces = torch.tensor([[0, 1, 2]])
    place = torch.tensor([[-1.0, -1], [1, 1], [0.2499, 0.26], [-7, 1e30], [0.0, -0.001]])
    vertices = torch.cat([place[:, None], torch.zeros(5, 1, 1)], dim=-1).expand(-1, 3, -1)
    points = SurfacePoints(torch.zeros(5, 1, dtype=torch.long), torch.full((5, 1, 3), 1 / 3), torch.ones(5, 1) > 0)
    pixels = point_pixels(points, vertices, faces, (8, 16))[:, 0]
    assert pixels.tolist() == [[0, 0], [15, 7], [9, 5], [0, 7], [8, 3]]
    assert pixels.dtype == torch.int64


def test_points_fall_on_the_pixels_that_show_their_triangles(open_head, turned_head):
    turned, ndc = turned_head
    fragments = Renderer(open_head)(turned, CAMERA, region="head").fragments
    row, column = fragments.mask[0].nonzero()[::50].T
    points = SurfacePoints(fragments.face_index[:, row, column], fragments.barycentric[:, row, column], row[None] >= 0)
    pixels = point_pixels(points, ndc, open_head.faces, 224)[0]
    assert torch.equal(pixels, torch.stack([column, row], dim=1))
