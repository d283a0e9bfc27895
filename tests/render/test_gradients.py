"""Gradients of renderings: the reference against finite differences in float64, Warp against the reference."""

import pytest
import torch

from smirk3d.render import Renderer, interpolate, project_orthographic, rasterize, shade, vertex_normals
from smirk3d.render.renderer import ALBEDO

ROWS = 4
CAMERA = torch.tensor([[0.8, 0.05, -0.03], [0.7, -0.1, 0.06]], dtype=torch.float64)


class Sheet:
    """A bumpy sheet of 18 triangles that faces the viewer, in front of nothing."""

    def __init__(self):
        index = torch.arange(ROWS * ROWS).reshape(ROWS, ROWS)
        a, b, c, d = (corner.reshape(-1) for corner in (index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]))
        self.faces = torch.cat([torch.stack([a, b, c], 1), torch.stack([a, c, d], 1)])

    def region_faces(self, name):
        return self.faces

    def vertices(self, seed: int = 0) -> torch.Tensor:
        y, x = torch.meshgrid(torch.linspace(1, -1, ROWS), torch.linspace(-1, 1, ROWS), indexing="ij")
        flat = torch.stack([x, y, torch.zeros_like(x)], dim=-1).reshape(1, -1, 3).double()
        noise = torch.rand(2, ROWS * ROWS, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        return flat + 0.25 * noise


def image(output):
    return output.image[:, :1]


def depth(output):
    return output.depth.masked_fill(~output.mask, 0)


def normals(output):
    return output.normals


def attributes(output):
    values = torch.randn(ROWS * ROWS, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    return interpolate(output.fragments, values, Sheet().faces).movedim(-1, 1)


def inner_pixels(output) -> torch.Tensor:
    """(B,1,H,W) bool, pixels that show their face by a margin, so that a small step shows the same one."""
    return (output.fragments.barycentric.detach().amin(dim=-1) > 0.02)[:, None]


every_quantity = pytest.mark.parametrize("quantity", [image, depth, normals, attributes])


@every_quantity
def test_gradients_of_the_reference_equal_finite_differences(quantity):
    sheet = Sheet()
    renderer = Renderer(sheet, 9, backend="reference")
    vertices, camera = sheet.vertices()[:1].requires_grad_(), CAMERA[:1].clone().requires_grad_()
    inner = inner_pixels(renderer(vertices, camera))
    assert inner.sum() > 20

    def picture(vertices, camera):
        return (quantity(renderer(vertices, camera)) * inner).sum(dim=1)

    assert torch.autograd.gradcheck(picture, (vertices, camera))


def gradients(backend: str, dtype: torch.dtype, quantity, weights, inner):
    sheet = Sheet()
    vertices, camera = (leaf.to(dtype, copy=True).requires_grad_() for leaf in (sheet.vertices(), CAMERA))
    drawn = quantity(Renderer(sheet, 33, backend=backend)(vertices, camera))
    (drawn * (weights * inner).to(drawn.dtype)).sum().backward()
    assert vertices.grad is not None and camera.grad is not None
    return vertices.grad.double(), camera.grad.double()


@every_quantity
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_of_warp_equal_those_of_the_reference(quantity, dtype):
    sheet = Sheet()
    exact = Renderer(sheet, 33, backend="reference")(sheet.vertices(), CAMERA)
    inner = inner_pixels(exact)
    weights = torch.randn(quantity(exact).shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = gradients("reference", torch.float64, quantity, weights, inner)
    for found, truth in zip(gradients("warp", dtype, quantity, weights, inner), expected, strict=True):
        assert (found - truth).abs().max() < 1e-4 * truth.abs().max()


@every_quantity
def test_warp_changes_as_the_reference_gradient_predicts(quantity):
    sheet, step = Sheet(), 2e-3
    generator = torch.Generator().manual_seed(2)
    vertices, renderer = sheet.vertices(), Renderer(sheet, 33)
    d_vertices = torch.randn(vertices.shape, dtype=torch.float64, generator=generator)
    d_camera = 0.3 * torch.randn(CAMERA.shape, dtype=torch.float64, generator=generator)
    before, after = (
        renderer((vertices + sign * step * d_vertices).float(), (CAMERA + sign * step * d_camera).float())
        for sign in (-1, 1)
    )
    exact = Renderer(sheet, 33, backend="reference")(vertices, CAMERA)
    same = (before.fragments.face_index == after.fragments.face_index)[:, None]
    inner = inner_pixels(exact) & inner_pixels(before) & inner_pixels(after) & same
    assert inner.sum() > 500
    weights = torch.rand(quantity(exact).shape, dtype=torch.float64, generator=generator)
    change = ((quantity(after).double() - quantity(before).double()) * weights * inner).sum() / (2 * step)
    by_vertices, by_camera = gradients("reference", torch.float64, quantity, weights, inner)
    expected = (by_vertices * d_vertices).sum() + (by_camera * d_camera).sum()
    torch.testing.assert_close(change, expected, rtol=0.01, atol=0.01)


def test_gradient_in_perspective_reaches_depths_and_vertices():
    sheet = Sheet()
    generator = torch.Generator().manual_seed(4)
    w = 2 + torch.rand(2, ROWS * ROWS, dtype=torch.float64, generator=generator)
    points = sheet.vertices() * torch.tensor([0.8, -0.8, 1.0], dtype=torch.float64)
    weights = torch.randn(2, 21, 21, 3, dtype=torch.float64, generator=generator)
    inner = rasterize(points, sheet.faces, 21, w=w, backend="reference").barycentric.amin(dim=-1) > 0.02
    found = []
    for backend, dtype in (("warp", torch.float32), ("reference", torch.float64)):
        leaves = [points.to(dtype).requires_grad_(), w.to(dtype).requires_grad_()]
        result = rasterize(leaves[0], sheet.faces, 21, w=leaves[1], backend=backend)
        loss = (result.barycentric * weights.to(dtype)).sum(dim=-1)[inner].sum() + result.depth[inner].sum()
        found.append(torch.autograd.grad(loss, leaves))
    for warp, truth in zip(*found, strict=True):
        assert truth.abs().max() > 0
        assert (warp.double() - truth).abs().max() < 1e-4 * truth.abs().max()


def test_one_pass_equals_the_torch_path_on_the_open_head(open_head):
    vertices = torch.stack([open_head.v_template, 1.1 * open_head.v_template])
    camera = torch.tensor([[6.0, 0.0, 0.0], [5.0, 0.01, 0.02]])
    for region in ("face", "head"):
        faces = open_head.region_faces(region)
        output = Renderer(open_head, 112)(vertices, camera, region)
        fragments = rasterize(project_orthographic(vertices, camera), faces, 112)
        seen = interpolate(fragments, vertex_normals(vertices, faces), faces)
        assert torch.equal(output.fragments.face_index, fragments.face_index)
        torch.testing.assert_close(output.normals, seen.movedim(-1, 1), atol=1e-5, rtol=0)
        grey = (ALBEDO * shade(seen))[:, None].expand(-1, 3, -1, -1)
        torch.testing.assert_close(output.image, grey, atol=1e-5, rtol=0)


def test_gradients_exist_only_where_required():
    sheet = Sheet()
    renderer = Renderer(sheet, 16)
    assert not renderer(sheet.vertices().float(), CAMERA.float()).image.requires_grad
    vertices = sheet.vertices().float().requires_grad_()
    with torch.no_grad():
        assert not renderer(vertices, CAMERA.float()).image.requires_grad
    output = renderer(vertices, CAMERA.float())
    assert output.image.requires_grad and not output.fragments.face_index.requires_grad
    output.image.sum().backward()
    assert vertices.grad is not None and vertices.grad.isfinite().all() and vertices.grad.any()


def test_a_region_with_indices_out_of_range_is_refused():
    sheet = Sheet()
    for backend in ("warp", "reference"):
        with pytest.raises(ValueError, match=r"outside 0\.\.8"):
            Renderer(sheet, 8, backend=backend)(sheet.vertices()[:, :9].float(), CAMERA.float())
