"""Drawings: colour sources, antialiasing, light and compositing."""

import pytest
import torch

from smirk3d.render import Lights, Specular, Texture, draw

QUAD = torch.tensor([[[-1.0, -1, 0], [1.0, -1, 0], [1.0, 1, 0], [-1.0, 1, 0]]])
FACES = torch.tensor([[0, 1, 2], [0, 2, 3]])
FRONT = Lights(torch.tensor([[0.0, 0.0, 1.0]]), torch.tensor([0.5]), ambient=0.1)


def test_alpha_is_the_covered_fraction():
    edge = 0.5
    cut = torch.tensor([[[-1.0, -1, 0], [edge, -1, 0], [edge, 1, 0], [-1.0, 1, 0]]])
    drawing = draw(cut, FACES, size=2, supersample=8)
    torch.testing.assert_close(drawing.alpha[0, 0], torch.tensor([[1.0, 0.5], [1.0, 0.5]]))
    torch.testing.assert_close(drawing.image, drawing.alpha.expand(-1, 3, -1, -1))


def test_vertex_colours_are_linear_and_may_differ_in_a_batch():
    ramp = torch.tensor([[0.0, 0, 0], [1.0, 0, 0], [1.0, 0, 0], [0.0, 0, 0]])
    drawing = draw(QUAD.expand(2, -1, -1), FACES, size=(3, 4), colors=torch.stack([ramp, ramp[:, [1, 0, 2]]]))
    expected = torch.tensor([0.125, 0.375, 0.625, 0.875])
    torch.testing.assert_close(drawing.image[0, 0, 1], expected)
    torch.testing.assert_close(drawing.image[1, 1, 1], expected)
    assert (drawing.image[0, 1:] == 0).all()


def test_face_colours_are_flat():
    drawing = draw(QUAD, FACES, size=8, face_colors=torch.eye(3)[:2], supersample=1)
    assert torch.equal(drawing.image[0, :, 0, 7], torch.tensor([1.0, 0, 0]))
    assert torch.equal(drawing.image[0, :, 7, 0], torch.tensor([0.0, 1, 0]))


def test_texture_is_upright_and_exact_at_equal_size():
    image = torch.rand(3, 6, 6, generator=torch.Generator().manual_seed(0))
    uv = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.0, 0.0]])
    texture = Texture(uv, torch.tensor([[1, 2, 0], [1, 0, 3]]), image)
    drawing = draw(QUAD, FACES, size=6, texture=texture, supersample=1)
    torch.testing.assert_close(drawing.image[0], image, atol=1e-5, rtol=0)


def test_light_and_highlight_add_up():
    shaded = QUAD * torch.tensor([1.0, -1.0, 1.0])
    faces = FACES[:, [0, 2, 1]]
    plain = draw(QUAD, faces, size=4, shading_vertices=shaded, lights=FRONT)
    torch.testing.assert_close(plain.image, torch.full((1, 3, 4, 4), 0.6))
    shiny = draw(QUAD, faces, size=4, shading_vertices=shaded, lights=FRONT, specular=Specular(0.2, 10))
    torch.testing.assert_close(shiny.image, torch.full((1, 3, 4, 4), 0.7))


def test_over_mixes_with_the_background():
    small = draw(0.5 * QUAD, FACES, size=8, colors=torch.full((4, 3), 0.25))
    mixed = small.over(torch.ones(1, 3, 8, 8))
    assert (mixed[0, :, 2:6, 2:6] == 0.25).all()
    assert (mixed[0, :, :2] == 1).all()


def test_two_colour_sources_are_refused():
    with pytest.raises(ValueError, match="one of"):
        draw(QUAD, FACES, size=4, colors=torch.ones(4, 3), face_colors=torch.ones(2, 3))
