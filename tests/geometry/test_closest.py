"""Closest points on meshes."""

import numpy as np
import torch

from smirk3d.geometry.closest import closest_on_mesh


def test_closest_points_agree_with_brute_force(open_head):
    import trimesh

    random = torch.Generator().manual_seed(0)
    vertices, faces = open_head.v_template, open_head.region_faces("face")
    chosen = vertices[faces[torch.randint(len(faces), (60,), generator=random)]].mean(1)
    points = chosen + 0.003 * torch.randn(60, 3, generator=random)
    row, barycentric = closest_on_mesh(points, vertices, faces)
    assert (barycentric >= 0).all()
    torch.testing.assert_close(barycentric.sum(1), torch.ones(60))
    found = (vertices[faces[row]] * barycentric[..., None]).sum(1)
    mesh = trimesh.Trimesh(vertices.numpy(), faces.numpy(), process=False)
    _, distance, _ = trimesh.proximity.closest_point_naive(mesh, points.numpy())
    np.testing.assert_allclose((found - points).norm(dim=1), distance, atol=2e-6)


def test_points_on_the_surface_are_their_own_closest_points():
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0.5]])
    faces = torch.tensor([[0, 1, 2], [1, 3, 2]])
    wanted = torch.tensor([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]])
    points = (vertices[faces] * wanted[..., None]).sum(1)
    row, barycentric = closest_on_mesh(points, vertices, faces)
    assert row.tolist() == [0, 1]
    torch.testing.assert_close(barycentric, wanted, atol=1e-6, rtol=0)


def test_a_point_off_the_mesh_projects_to_its_boundary():
    vertices, faces = torch.eye(3), torch.tensor([[0, 1, 2]])
    row, barycentric = closest_on_mesh(torch.tensor([[9.0, 0.0, 0.0]]), vertices, faces)
    assert row.tolist() == [0] and barycentric[0].tolist() == [1.0, 0.0, 0.0]


def test_triangles_of_half_a_millimetre_in_metres_are_large_enough():
    vertices = torch.tensor(
        [[0.0406983, 0.0202568, 0.1160503], [0.0402309, 0.0198590, 0.1165526], [0.0410245, 0.0200377, 0.1162491]]
    )
    point = torch.tensor([[0.362, 0.0, 0.638]]) @ vertices
    _, barycentric = closest_on_mesh(point, vertices, torch.tensor([[0, 1, 2]]))
    assert (barycentric @ vertices - point).norm() < 1e-6
