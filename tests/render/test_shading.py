"""Normals and light against loops in NumPy."""

import numpy as np
import torch

from smirk3d.render import SMIRK_LIGHTS, Lights, Specular, highlight, shade, vertex_normals

FACES = torch.tensor([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]])


def test_normals_match_a_loop_and_any_leading_batch():
    vertices = torch.randn(2, 3, 5, 3, generator=torch.Generator().manual_seed(0))
    normals = vertex_normals(vertices, FACES)
    for batch in np.ndindex(2, 3):
        points, total = vertices[batch].double().numpy(), np.zeros((5, 3))
        for i, j, k in FACES.numpy():
            for corner in (i, j, k):
                total[corner] += np.cross(points[j] - points[i], points[k] - points[i])
        expected = total[:4] / np.linalg.norm(total[:4], axis=-1, keepdims=True)
        np.testing.assert_allclose(normals[batch][:4], expected, atol=1e-5)
        assert (normals[batch][4] == 0).all(), "no face uses the fifth vertex"


def test_normals_of_tiny_meshes_are_unit():
    vertices = 1e-4 * torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(vertex_normals(vertices, FACES).norm(dim=-1), torch.ones(4))


def test_normals_gradcheck():
    vertices = torch.randn(2, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    assert torch.autograd.gradcheck(lambda v: vertex_normals(v, FACES), vertices.requires_grad_())


def test_smirk_lights_match_a_loop():
    normals = torch.randn(4, 6, 3, generator=torch.Generator().manual_seed(3))
    expected = np.zeros((4, 6))
    directions = [np.array(d) / np.linalg.norm(d) for d in [(1, 1, 1), (-1, 1, 1), (1, -1, 1), (-1, -1, 1), (0, 0, 1)]]
    for pixel in np.ndindex(4, 6):
        for direction in directions:
            expected[pixel] += 1.7 * max(0.0, float(normals[pixel].numpy() @ direction)) / 5
    np.testing.assert_allclose(shade(normals), expected, atol=1e-5)


def test_light_is_linear_in_the_length_of_the_normal_and_zero_behind():
    front = torch.tensor([0.0, 0.0, 1.0])
    torch.testing.assert_close(shade(0.5 * front), 0.5 * shade(front))
    assert shade(-front) == 0
    ambient = Lights(SMIRK_LIGHTS.directions, SMIRK_LIGHTS.intensity, ambient=0.25)
    assert shade(-front, ambient) == 0.25


def test_highlight_peaks_half_way_and_needs_light():
    light = Lights(torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([2.0]))
    halfway = torch.tensor([0.5**0.5, 0.0, 0.5**0.5])
    specular = Specular(strength=0.3, shininess=20)
    torch.testing.assert_close(highlight(halfway, light, specular), torch.tensor(0.6))
    assert highlight(torch.tensor([0.0, 0.0, 1.0]), light, specular) < 0.01
    assert highlight(torch.tensor([-0.1, 0.0, 0.995]), light, specular) == 0
