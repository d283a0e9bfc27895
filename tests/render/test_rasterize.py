"""The rasterisers against closed-form geometry, and against each other."""

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from smirk3d.render import Fragments, interpolate, rasterize, recompute_barycentric

BACKENDS = ["warp", "reference"]
both = pytest.mark.parametrize("backend", BACKENDS)


def random_mesh(seed: int, vertices: int = 30, faces: int = 40, spread: float = 0.8):
    generator = torch.Generator().manual_seed(seed)
    points = spread * torch.randn(2, vertices, 3, generator=generator)
    # All triples differ: the same triangle with its corners in another order ties only up to rounding.
    triples = torch.combinations(torch.arange(vertices), 3)
    return points, triples[torch.randperm(len(triples), generator=generator)[:faces]]


def centers(size: int) -> torch.Tensor:
    return (2 * torch.arange(size) + 1) / size - 1


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    perspective=st.booleans(),
)
def test_backends_agree(seed, height, width, perspective):
    vertices, faces = random_mesh(seed)
    w = 1 + torch.rand(2, 30, generator=torch.Generator().manual_seed(seed)) if perspective else None
    fast = rasterize(vertices, faces, (height, width), w=w)
    slow = rasterize(
        vertices.double(), faces, (height, width), w=None if w is None else w.double(), backend="reference"
    )
    same = fast.face_index == slow.face_index
    assert int((~same).sum()) <= max(2, same.numel() // 1000)
    agreed = same & fast.mask
    torch.testing.assert_close(fast.barycentric[agreed].double(), slow.barycentric[agreed], atol=2e-3, rtol=0)
    torch.testing.assert_close(fast.depth[agreed].double(), slow.depth[agreed], atol=5e-3, rtol=1e-3)


@both
def test_right_triangle_covers_the_pixels_of_its_half_square(backend):
    vertices = torch.tensor([[[-1.0, -1.0, 0.0], [1.0, -1.0, 2.0], [-1.0, 1.0, 4.0]]])
    result = rasterize(vertices, torch.tensor([[0, 1, 2]]), 9, backend=backend)
    y, x = torch.meshgrid(centers(9), centers(9), indexing="ij")
    # The hypotenuse runs through pixel centres: edges are inclusive, but for rounding at the centres.
    assert result.mask[0][x + y < -1e-6].all()
    assert not result.mask[0][x + y > 1e-6].any()
    weights = torch.stack([-(x + y) / 2, (x + 1) / 2, (y + 1) / 2], dim=-1)
    inside = result.mask[0]
    torch.testing.assert_close(result.barycentric[0][inside], weights[inside], atol=1e-6, rtol=0)
    torch.testing.assert_close(result.depth[0][inside], (x + 1 + 2 * (y + 1))[inside], atol=1e-5, rtol=0)


@both
def test_background_is_minus_one_zero_and_infinity(backend):
    vertices = torch.tensor([[[-0.5, -0.5, 0.0], [0.5, -0.5, 0.0], [0.0, 0.5, 0.0]]])
    result = rasterize(vertices, torch.tensor([[0, 1, 2]]), 8, backend=backend)
    assert result.face_index.dtype == torch.int64
    assert (result.face_index[~result.mask] == -1).all()
    assert (result.barycentric[~result.mask] == 0).all()
    assert result.depth[~result.mask].isposinf().all()


@both
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_nearer_face_wins_in_any_order(backend, order):
    vertices = torch.tensor([[[-3.0, -3, z], [3.0, -3, z], [0.0, 3, z]] for z in (-0.5, 0.5)]).reshape(1, 6, 3)
    faces = torch.tensor([[0, 1, 2], [3, 4, 5]])[list(order)]
    result = rasterize(vertices, faces, 4, backend=backend)
    assert (result.face_index == order.index(0)).all()
    assert (result.depth == -0.5).all()


@both
def test_equal_depth_goes_to_the_first_face(backend):
    vertices = torch.tensor([[[-3.0, -3, 0.0], [3.0, -3, -0.0], [0.0, 3, 0.0]]])
    faces = torch.tensor([[0, 1, 2]] * 70)
    assert (rasterize(vertices, faces, 5, backend=backend).face_index == 0).all()


@both
def test_planes_that_cross_swap_at_the_crossing(backend):
    left_near = [[-1.0, -3, -1], [1.0, -3, 1], [1.0, 3, 1], [-1.0, 3, -1]]
    right_near = [[-1.0, -3, 1], [1.0, -3, -1], [1.0, 3, -1], [-1.0, 3, 1]]
    faces = torch.tensor([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
    result = rasterize(torch.tensor([left_near + right_near]), faces, (3, 8), backend=backend)
    assert (result.face_index[..., :4] < 2).all()
    assert (result.face_index[..., 4:] >= 2).all()


@both
def test_shift_by_a_pixel_moves_the_image_and_by_less_moves_the_weights(backend):
    vertices, faces = random_mesh(3, spread=0.3)
    still = rasterize(vertices, faces, 32, backend=backend)
    moved = rasterize(vertices + torch.tensor([2 / 32, 0, 0]), faces, 32, backend=backend)
    assert (moved.face_index[..., 1:] == still.face_index[..., :-1]).float().mean() > 0.999
    triangle = torch.tensor([[[-0.9, -0.9, 0.0], [0.9, -0.9, 0.0], [0.0, 0.9, 0.0]]])
    one = torch.tensor([[0, 1, 2]])
    x = [
        interpolate(rasterize(triangle + torch.tensor([shift, 0, 0]), one, 8, backend=backend), triangle, one)[
            0, 3, 4, 0
        ]
        for shift in (0.0, 0.02)
    ]
    torch.testing.assert_close(x[0] - x[1], torch.tensor(0.02), atol=1e-6, rtol=0)


@both
def test_image_may_be_rectangular(backend):
    vertices = torch.tensor([[[-1.0, -1, 0], [0.0, -1, 0], [0.0, 1, 0], [-1.0, 1, 0]]])
    result = rasterize(vertices, torch.tensor([[0, 1, 2], [0, 2, 3]]), (6, 10), backend=backend)
    assert result.face_index.shape == (1, 6, 10)
    assert result.mask[..., :5].all()
    assert not result.mask[..., 5:].any()


@both
def test_batch_equals_loop(backend):
    vertices, faces = random_mesh(5)
    together = rasterize(vertices, faces, (20, 24), backend=backend)
    for image in range(2):
        alone = rasterize(vertices[image : image + 1], faces, (20, 24), backend=backend)
        assert torch.equal(alone.face_index[0], together.face_index[image])
        assert torch.equal(alone.barycentric[0], together.barycentric[image])
        assert torch.equal(alone.depth[0], together.depth[image])


@both
def test_back_faces_are_drawn(backend):
    vertices, faces = random_mesh(7)
    front = rasterize(vertices, faces, 16, backend=backend)
    back = rasterize(vertices, faces[:, [0, 2, 1]], 16, backend=backend)
    assert (front.face_index == back.face_index).float().mean() > 0.99


@both
@pytest.mark.parametrize(("batch", "faces"), [(1, 0), (0, 1), (0, 0)])
def test_empty_scenes(backend, batch, faces):
    result = rasterize(torch.zeros(batch, 3, 3), torch.zeros(faces, 3, dtype=torch.int64), (4, 5), backend=backend)
    assert result.face_index.shape == (batch, 4, 5)
    assert result.barycentric.shape == (batch, 4, 5, 3)
    assert not result.mask.any()
    assert interpolate(result, torch.zeros(batch, 3, 2), torch.zeros(faces, 3, dtype=torch.int64)).shape == (
        batch,
        4,
        5,
        2,
    )


@both
def test_degenerate_and_non_finite_faces_are_skipped(backend):
    wild = [
        [float("nan"), 0, 0],
        [float("inf"), 0, 0],
        [0.0, 0, 0],
        [0.5, 0.5, 0],
        [-0.5, -0.5, 0],
        [0.1, 0.2, 0],
    ]
    faces = torch.tensor([[0, 2, 3], [1, 2, 5], [2, 2, 3], [2, 3, 4]])
    assert not rasterize(torch.tensor([wild]), faces, 9, backend=backend).mask.any()


@both
def test_faces_outside_cover_nothing_and_huge_ones_everything(backend):
    outside = torch.tensor([[[1.5, 1.5, 0.0], [3.0, 1.5, 0.0], [1.5, 3.0, 0.0]]])
    face = torch.tensor([[0, 1, 2]])
    assert not rasterize(outside, face, 8, backend=backend).mask.any()
    huge = torch.tensor([[[-1e6, -1e6, 0.0], [1e6, -1e6, 0.0], [0.0, 2e6, 0.0]]])
    assert rasterize(huge, face, 8, backend=backend).mask.all()
    partly = torch.tensor([[[0.0, -5.0, 0.0], [9.0, 0.0, 0.0], [0.0, 5.0, 0.0]]])
    result = rasterize(partly, face, 8, backend=backend)
    assert result.mask[..., 4:].all()
    assert not result.mask[..., :4].any()


@both
def test_shared_edges_leave_no_gap(backend):
    """A fan around a vertex on a pixel centre, with its rim outside the image, covers every pixel."""
    angle = torch.arange(12) * (2 * torch.pi / 12)
    rim = torch.stack([3 * angle.cos(), 3 * angle.sin(), torch.zeros(12)], dim=-1)
    vertices = torch.cat([torch.tensor([[1 / 16, 3 / 16, 0.0]]), rim])[None]
    faces = torch.stack([torch.zeros(12).long(), torch.arange(12) + 1, (torch.arange(12) + 1) % 12 + 1], dim=-1)
    assert rasterize(vertices, faces, 16, backend=backend).mask.all()


def tilted_quad():
    """A rectangle in camera space seen in perspective (f = 1) and the camera depth of its corners."""
    corners = torch.tensor([[-1.0, -1, 2], [1.0, -1, 2], [1.0, 1, 6], [-1.0, 1, 6]])
    depth = corners[:, 2]
    vertices = torch.stack([corners[:, 0] / depth, corners[:, 1] / depth, depth], dim=-1)
    return corners, vertices[None], depth[None]


@both
def test_perspective_attributes_match_the_ray_plane_intersection(backend):
    corners, vertices, depth = tilted_quad()
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
    result = rasterize(vertices, faces, 64, w=depth, backend=backend)
    points = interpolate(result, corners, faces)[0][result.mask[0]]
    y, x = torch.meshgrid(centers(64), centers(64), indexing="ij")
    # plane through the corners: Z = 4 + 2 Y; ray (x, y, 1) t: t = 4 / (1 - 2 y)
    distance = 4 / (1 - 2 * y)
    expected = torch.stack([x * distance, y * distance, distance], dim=-1)[result.mask[0]]
    assert len(points) > 100
    torch.testing.assert_close(points, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(result.depth[result.mask], expected[:, 2], atol=1e-4, rtol=1e-4)


@both
@pytest.mark.parametrize("behind", [0.0, -1.0])
def test_faces_with_a_corner_behind_the_camera_are_skipped(backend, behind):
    _, vertices, depth = tilted_quad()
    depth[0, 0] = behind
    assert not rasterize(vertices, torch.tensor([[0, 1, 2]]), 8, w=depth, backend=backend).mask.any()
    assert rasterize(vertices, torch.tensor([[1, 2, 3]]), 8, w=depth, backend=backend).mask.any()


@pytest.mark.parametrize("perspective", [False, True])
def test_recomputed_weights_equal_the_rasterised_ones(perspective):
    vertices, faces = random_mesh(11)
    w = 1 + torch.rand(2, 30, generator=torch.Generator().manual_seed(0)) if perspective else None
    result = rasterize(vertices, faces, (15, 17), w=w)
    again = recompute_barycentric(result, vertices, faces, w)
    torch.testing.assert_close(again, result.barycentric, atol=1e-4, rtol=0)


@pytest.mark.parametrize("perspective", [False, True])
def test_gradients_inside_the_visible_surface(perspective):
    vertices, faces = random_mesh(13, vertices=8, faces=5)
    vertices = vertices.double().requires_grad_()
    w = (2 + torch.rand(2, 8, dtype=torch.float64)).requires_grad_() if perspective else None
    attributes = torch.randn(2, 8, 2, dtype=torch.float64, requires_grad=True)
    seen = rasterize(vertices.detach(), faces, 6, w=None if w is None else w.detach(), backend="reference")

    def picture(vertices, attributes, *w):
        weights = recompute_barycentric(seen, vertices, faces, *w)
        return interpolate(Fragments(seen.face_index, weights, seen.depth), attributes, faces)

    inputs = (vertices, attributes) if w is None else (vertices, attributes, w)
    assert seen.mask.sum() > 5
    assert torch.autograd.gradcheck(picture, inputs)


@both
def test_results_have_gradients_only_where_required(backend):
    vertices, faces = random_mesh(17)
    assert not rasterize(vertices, faces, 8, backend=backend).barycentric.requires_grad
    vertices.requires_grad_()
    result = rasterize(vertices, faces, 8, backend=backend)
    result.depth[result.mask].sum().backward()
    # moving everything back by 1 moves every visible depth by 1
    assert vertices.grad is not None
    torch.testing.assert_close(vertices.grad[..., 2].sum(), result.mask.sum().float(), rtol=1e-3, atol=0)
    with torch.no_grad():
        assert not rasterize(vertices, faces, 8, backend=backend).depth.requires_grad


@both
def test_dtype_follows_the_vertices(backend):
    vertices, faces = random_mesh(19)
    result = rasterize(vertices.double(), faces.int(), 8, backend=backend)
    assert result.barycentric.dtype == result.depth.dtype == torch.float64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vertices_ndc": torch.zeros(3, 3)}, "vertices_ndc"),
        ({"vertices_ndc": torch.zeros(1, 3, 3).long()}, "vertices_ndc"),
        ({"faces": torch.tensor([[0.0, 1, 2]])}, "faces must"),
        ({"faces": torch.tensor([[0, 1, 3]])}, "outside 0..2"),
        ({"faces": torch.tensor([[0, 1, -1]])}, "outside 0..2"),
        ({"size": 0}, "at least one pixel"),
        ({"w": torch.zeros(1, 2)}, "w must"),
        ({"backend": "gl"}, "backend"),
    ],
)
def test_bad_arguments_are_refused(change, message):
    arguments = {"vertices_ndc": torch.zeros(1, 3, 3), "faces": torch.tensor([[0, 1, 2]]), "size": 4} | change
    with pytest.raises(ValueError, match=message):
        rasterize(**arguments)


def test_warp_starts_silently():
    program = (
        "import torch; from smirk3d.render import rasterize;"
        "rasterize(torch.rand(1, 3, 3), torch.tensor([[0, 1, 2]]), 4)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert done.stderr == ""


def test_package_imports_without_warp():
    program = "import sys, smirk3d.render; sys.exit('warp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
