"""The shaded grey rendering: geometry, light and gradient."""

import pytest
import torch

from smirk3d.render import Renderer, project_orthographic, vertex_normals


class TwoPlates:
    """A square in front (the face) of a larger one behind (the rest of the head)."""

    def __init__(self):
        square = torch.tensor([[-1.0, -1, 0], [1.0, -1, 0], [1.0, 1, 0], [-1.0, 1, 0]])
        self.vertices = torch.cat([0.5 * square + torch.tensor([0, 0, 1.0]), square])[None]
        self.faces = torch.tensor([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])

    def region_faces(self, name):
        return {"face": self.faces[:2], "head": self.faces}[name]


CAMERA = torch.tensor([[1.0, 0.0, 0.0]])
FRONTAL = 180 / 255 * 1.7 * (4 / 3**0.5 + 1) / 5


def test_projection_scales_after_the_shift_and_flips_y_and_z():
    point = torch.tensor([[[1.0, 2.0, 3.0]]])
    projected = project_orthographic(point, torch.tensor([[2.0, 0.5, -1.0]]))
    torch.testing.assert_close(projected, torch.tensor([[[3.0, -2.0, -6.0]]]))


@pytest.mark.parametrize("backend", ["warp", "reference"])
def test_plates_are_flat_grey_on_black(backend):
    head = TwoPlates()
    output = Renderer(head, 16, backend=backend)(head.vertices, CAMERA)
    assert output.image.shape == output.normals.shape == (1, 3, 16, 16)
    assert output.mask.shape == output.depth.shape == (1, 1, 16, 16)
    inner = torch.zeros(16, 16, dtype=torch.bool)
    inner[4:12, 4:12] = True
    assert torch.equal(output.mask[0, 0], inner)
    torch.testing.assert_close(output.image[0, :, inner], torch.full((3, 64), FRONTAL))
    assert (output.image[0, :, ~inner] == 0).all()
    torch.testing.assert_close(output.depth[0, 0, inner], torch.full((64,), -1.0))


def test_whole_head_shows_the_plate_behind():
    head = TwoPlates()
    output = Renderer(head, 16)(head.vertices, CAMERA, region="head")
    assert output.mask.all()
    assert (output.fragments.face_index[0, 4:12, 4:12] < 2).all()
    assert output.depth[0, 0, 0, 0] == 0


def test_y_is_up_in_the_image_and_translation_is_in_head_units():
    head = TwoPlates()
    output = Renderer(head, 16)(head.vertices, torch.tensor([[0.5, 0.5, 1.0]]))
    rows, columns = output.mask[0, 0].nonzero().T
    # centre (0.5, 1) · 0.5 → x' = 0.25, y' = -0.5; half side 0.25
    assert (int(columns.min()), int(columns.max())) == (8, 11)
    assert (int(rows.min()), int(rows.max())) == (2, 5)


def test_normals_are_interpolated_from_rendered_faces_and_not_normalised():
    head = TwoPlates()
    tent = head.vertices.clone()
    tent[0, [1, 3], 2] -= 0.8
    output = Renderer(head, 16)(tent, CAMERA)
    normals = vertex_normals(tent, head.faces[:2])
    lengths = output.normals.norm(dim=1)[output.mask[:, 0]]
    assert lengths.min() < 0.999
    assert lengths.max() <= normals.norm(dim=-1).max() + 1e-5


def test_black_is_not_background():
    head = TwoPlates()
    turned = head.vertices * torch.tensor([-1.0, 1.0, 1.0])
    output = Renderer(head, 16)(turned, CAMERA)
    assert output.mask.sum() == 64
    assert (output.image == 0).all()


def test_gradient_matches_finite_differences():
    head = TwoPlates()
    generator = torch.Generator().manual_seed(0)
    vertices = (head.vertices + 0.2 * torch.rand(1, 8, 3, generator=generator)).double().requires_grad_()
    camera = CAMERA.double().requires_grad_()
    renderer = Renderer(head, 12, backend="reference")
    core = renderer(vertices, camera).mask[0, 0].double()
    core[1:-1, 1:-1] *= core[:-2, 1:-1] * core[2:, 1:-1] * core[1:-1, :-2] * core[1:-1, 2:]

    def brightness(vertices, camera):
        output = renderer(vertices, camera)
        # pixels away from outline and diagonal, whose face does not change under a small step
        return output.image[:, :1] * core * (output.fragments.barycentric.detach().amin(dim=-1) > 1e-3)

    assert torch.autograd.gradcheck(brightness, (vertices, camera))


def test_gradient_reaches_every_image_of_a_batch_through_warp():
    head = TwoPlates()
    vertices = (head.vertices + 0.1 * torch.rand(3, 8, 3, generator=torch.Generator().manual_seed(1))).requires_grad_()
    camera = CAMERA.expand(3, -1).clone().requires_grad_()
    Renderer(head, 24)(vertices, camera).image.square().sum().backward()
    assert vertices.grad is not None
    assert camera.grad is not None
    assert (vertices.grad[:, :4].abs().amax(dim=(1, 2)) > 0).all()
    assert (vertices.grad[:, 4:] == 0).all()
    assert (camera.grad.abs().amax(dim=1) > 0).all()
