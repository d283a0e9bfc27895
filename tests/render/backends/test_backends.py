"""All rasterisers agree: on random meshes, on the open head, and PyTorch3D with its own conventions."""

import sys
from types import ModuleType

import numpy as np
import pytest
import torch

from smirk3d.errors import Smirk3dError
from smirk3d.geometry.euler import rotation_from_angles
from smirk3d.render import Renderer, project_orthographic, rasterize

EPSILON = 1e-8


class Meshes:
    """What the backend needs of `pytorch3d.structures.Meshes`."""

    def __init__(self, verts, faces):
        self.verts, self.faces = verts.numpy().astype(np.float64), faces.numpy()


def pixel_positions(count: int, other: int) -> np.ndarray:
    """PyTorch3D's positions of pixel centres along one axis, which runs left or up, against the index."""
    reach = max(count / other, 1.0)
    return reach - reach * (2 * np.arange(count) + 1) / count


def rasterize_meshes(meshes, image_size, blur_radius, faces_per_pixel, perspective_correct):
    """PyTorch3D's rasteriser as documented, slow: nearest z > 0 wins, edges are not inside, back faces are drawn."""
    assert blur_radius == 0 and faces_per_pixel == 1
    y, x = np.meshgrid(pixel_positions(*image_size), pixel_positions(*image_size[::-1]), indexing="ij")
    face_index = np.full((len(meshes.verts), *image_size), -1)
    for image, (points, faces) in enumerate(zip(meshes.verts, meshes.faces, strict=True)):
        nearest = np.full(image_size, np.inf)
        for face, (a, b, c) in enumerate(points[faces]):
            area = (c[0] - a[0]) * (b[1] - a[1]) - (c[1] - a[1]) * (b[0] - a[0])
            if min(a[2], b[2], c[2]) < EPSILON or abs(area) <= EPSILON:
                continue
            weights = [
                ((x - p[0]) * (q[1] - p[1]) - (y - p[1]) * (q[0] - p[0])) / (area + EPSILON)
                for p, q in ((b, c), (c, a), (a, b))
            ]
            if perspective_correct:
                weights = [weight / corner[2] for weight, corner in zip(weights, (a, b, c), strict=True)]
                weights = [weight / sum(weights) for weight in weights]
            z = sum(weight * corner[2] for weight, corner in zip(weights, (a, b, c), strict=True))
            seen = (np.minimum.reduce(weights) > 0) & (z < nearest)
            nearest[seen], face_index[image][seen] = z[seen], face + image * len(faces)
    return (torch.from_numpy(face_index)[..., None],)


@pytest.fixture
def like_pytorch3d(monkeypatch):
    """A stand-in for PyTorch3D that follows its documentation."""
    contents = {"structures": {"Meshes": Meshes}, "renderer.mesh": {"rasterize_meshes": rasterize_meshes}}
    for name in ("", ".structures", ".renderer", ".renderer.mesh"):
        module = ModuleType(f"pytorch3d{name}")
        vars(module).update(contents.get(name[1:], {}))
        monkeypatch.setitem(sys.modules, module.__name__, module)


def random_scene(seed: int, perspective: bool):
    generator = torch.Generator().manual_seed(seed)
    points = 0.8 * torch.randn(2, 30, 3, generator=generator)
    triples = torch.combinations(torch.arange(30), 3)
    w = 1 + torch.rand(2, 30, generator=generator) if perspective else None
    if w is not None:
        points[..., 2] = 3 * w - 7  # any affine function of the camera depth
    return points, triples[torch.randperm(len(triples), generator=generator)[:40]], w


def assert_same(fragments, expected, share: float = 0.999):
    same = fragments.face_index == expected.face_index
    assert same.float().mean() > share
    both = same & expected.mask
    assert both.any()
    for name in ("barycentric", "depth"):
        a, b = getattr(fragments, name)[both].double(), getattr(expected, name)[both].double()
        torch.testing.assert_close(a, b, atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize("perspective", [False, True])
@pytest.mark.parametrize("size", [(32, 32), (24, 41), (37, 20)])
def test_pytorch3d_conventions_are_met(like_pytorch3d, size, perspective):
    points, faces, w = random_scene(sum(size), perspective)
    points[0, 3] = float("nan")
    if w is not None:
        w[1, 5] = -1.0
    expected = rasterize(points.double(), faces, size, w=None if w is None else w.double(), backend="reference")
    assert_same(rasterize(points, faces, size, w=w, backend="pytorch3d"), expected)


def test_the_real_pytorch3d_agrees():
    pytest.importorskip("pytorch3d")
    for perspective in (False, True):
        points, faces, w = random_scene(1, perspective)
        expected = rasterize(points, faces, (24, 41), w=w, backend="reference")
        assert_same(rasterize(points, faces, (24, 41), w=w, backend="pytorch3d"), expected)


@pytest.mark.parametrize(("batch", "count"), [(1, 0), (0, 1)])
def test_pytorch3d_draws_empty_scenes(like_pytorch3d, batch, count):
    faces = torch.zeros(count, 3, dtype=torch.int64)
    result = rasterize(torch.zeros(batch, 3, 3), faces, (4, 5), backend="pytorch3d")
    assert result.face_index.shape == (batch, 4, 5) and result.barycentric.shape == (batch, 4, 5, 3)
    assert not result.mask.any() and result.depth.isposinf().all()


def test_pytorch3d_gradient_is_that_of_the_reference(like_pytorch3d):
    points, faces, _ = random_scene(2, perspective=False)
    gradients = []
    for backend in ("pytorch3d", "reference"):
        leaf = points.double().requires_grad_()
        result = rasterize(leaf, faces, 16, backend=backend)
        (result.depth[result.mask].sum() + result.barycentric.square().sum()).backward()
        gradients.append(leaf.grad)
    torch.testing.assert_close(*gradients)


def test_a_missing_pytorch3d_is_reported_with_a_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch3d", None)
    with pytest.raises(Smirk3dError, match=r"pytorch3d\.org.*backend='warp'"):
        rasterize(torch.rand(1, 3, 3), torch.tensor([[0, 1, 2]]), 4, backend="pytorch3d")


@pytest.mark.parametrize(
    ("region", "poses"), [("face", [(0.0, 0.0, 0.0), (35.0, -20.0, 10.0)]), ("head", [(-60.0, 15.0, -25.0)])]
)
def test_backends_agree_on_the_open_head(open_head, like_pytorch3d, region, poses):
    rotmats = torch.stack([torch.from_numpy(rotation_from_angles(*pose)).float() for pose in poses])
    vertices = open_head.v_template @ rotmats.transpose(1, 2)
    camera = torch.tensor([[6.0, 0.0, -float(open_head.v_template[:, 1].mean())]]).expand(len(poses), -1)
    outputs = {
        backend: Renderer(open_head, 32, backend=backend)(vertices, camera, region)
        for backend in ("warp", "reference", "pytorch3d")
    }
    expected = outputs["reference"]
    assert 0.1 < expected.mask.float().mean() < 0.9
    for backend in ("warp", "pytorch3d"):
        output = outputs[backend]
        same = (output.fragments.face_index == expected.fragments.face_index)[:, None]
        assert same.float().mean() > 0.999
        assert ((output.image - expected.image).abs() * same).max() < 1e-4
        assert ((output.normals - expected.normals).abs() * same).max() < 1e-4
        both = same & expected.mask
        torch.testing.assert_close(output.depth[both], expected.depth[both], atol=1e-4, rtol=0)


def test_the_head_region_contains_the_face(open_head):
    camera = torch.tensor([[6.0, 0.0, -float(open_head.v_template[:, 1].mean())]])
    renderer = Renderer(open_head, 96)
    face, head = (renderer(open_head.v_template[None], camera, region) for region in ("face", "head"))
    assert head.mask[face.mask].all()
    assert head.mask.sum() > 1.3 * face.mask.sum()
    eye_sockets = head.mask & ~face.mask
    assert (head.image[:, :1][eye_sockets] > 0).any()


def float32_coverage(triangle: torch.Tensor, size: int) -> np.ndarray:
    """(size, size) bool by the edge functions of all pixels, in float32 and without fused operations."""
    center = (2 * np.arange(size) + 1).astype(np.float32) * np.float32(1 / np.float32(size)) - np.float32(1)
    y, x = np.meshgrid(center, center, indexing="ij")
    (ax, ay), (bx, by), (cx, cy) = ((p[0] - x, p[1] - y) for p in triangle.numpy()[:, :2])
    edges = np.stack([bx * cy - by * cx, cx * ay - cy * ax, ax * by - ay * bx])
    (a, b, c) = triangle.numpy()[:, :2]
    area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
    edges = edges * np.sign(area)
    return (edges >= 0).all(axis=0) & (edges.sum(axis=0) > 0) & bool(area != 0)


def needles(flatness: float, size: int, generator: torch.Generator) -> torch.Tensor:
    """(40,3,3) triangles with their tip on a pixel centre, which the line through their short side nearly meets."""
    tip = (2 * torch.randint(size, (40, 3), generator=generator) + 1) / size - 1
    along = torch.randn(40, 3, generator=generator)
    short = flatness * (along + 0.01 * torch.randn(40, 3, generator=generator))
    return torch.stack([tip + along, tip + along + short, tip], dim=1)


@pytest.mark.parametrize("spread", [0.05, 1.0, 50.0, 3e4])
@pytest.mark.parametrize("flatness", [1.0, 1e-3, 1e-5, 0.0])
def test_warp_tests_every_pixel_that_the_edge_functions_cover(spread, flatness):
    """Rows are narrowed to where the edges cross them; that must not cost a pixel, however thin the triangle."""
    generator = torch.Generator().manual_seed(int(spread * 7) + int(flatness * 10))
    size, covered = 61, 0
    triangles = spread * torch.randn(40, 3, 3, generator=generator)
    triangles[:, 1, 1] = triangles[:, 0, 1] + flatness * triangles[:, 1, 1]  # one edge is nearly level
    triangles = torch.cat([triangles, needles(flatness, size, generator)])
    result = rasterize(triangles, torch.tensor([[0, 1, 2]]), size).mask
    for triangle, mask in zip(triangles, result, strict=True):
        expected = float32_coverage(triangle, size)
        covered += expected.sum()
        np.testing.assert_array_equal(mask.numpy(), expected)
    assert covered > 20


def test_projection_of_a_batch_is_not_mixed_up(open_head):
    cameras = torch.tensor([[5.0, 0.0, 0.0], [7.0, 0.02, 0.01], [6.0, -0.01, -0.02]])
    vertices = open_head.v_template.expand(3, -1, -1)
    together = Renderer(open_head, 40)(vertices, cameras)
    for index in range(3):
        alone = Renderer(open_head, 40)(vertices[index : index + 1], cameras[index : index + 1])
        assert torch.equal(alone.image[0], together.image[index])
        ndc = project_orthographic(vertices[index : index + 1], cameras[index : index + 1])
        faces = open_head.region_faces("face")
        assert torch.equal(rasterize(ndc, faces, 40).face_index[0], together.fragments.face_index[index])
