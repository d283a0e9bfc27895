"""Patches of one colour, and subdivision."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from smirk3d.viewer.color_patches import Surface, choose_palette, split_by_color, subdivide


def _sheet(colors: np.ndarray) -> Surface:
    """A square of two triangles with the given colours at its corners; one target lifts one corner."""
    points = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], dtype=np.float32)
    displacements, normal_displacements = np.zeros((1, 4, 3), np.float32), np.zeros((1, 4, 3), np.float32)
    displacements[0, 1, 2] = 1
    normals = np.tile(np.array([0, 0, 1], dtype=np.float32), (4, 1))
    return Surface(
        "sheet",
        points,
        normals,
        displacements,
        normal_displacements,
        colors.astype(np.float32),
        np.array([[0, 1, 2], [0, 2, 3]]),
    )


def test_the_boundary_is_half_way_between_two_colors() -> None:
    white_left = np.array([[1.0] * 3, [0.0] * 3, [0.0] * 3, [1.0] * 3])
    surface, parts = split_by_color(_sheet(white_left))
    for color, triangles in parts:
        mesh = trimesh.Trimesh(surface.points, triangles, process=False)
        assert mesh.area == pytest.approx(0.5) and (mesh.face_normals[:, 2] > 0).all()
        assert mesh.triangles_center[:, 0].mean() < 0.5 if color == (255, 255, 255) else color == (0, 0, 0)
    crossing = surface.points[4:, 0]
    assert np.allclose(crossing, 0.5) and np.allclose(surface.displacements[0, 4:, 2].max(), 0.5)


def test_too_many_colors_become_their_mean() -> None:
    assert len(choose_palette(np.random.default_rng(0).uniform(0, 1, (500, 3)))) == 1
    two = choose_palette(np.array([[1.0] * 3] * 5 + [[0.0] * 3] * 2))
    assert two.tolist() == [[1.0] * 3, [0.0] * 3]


def test_subdivision_of_a_sphere_is_rounder() -> None:
    ball = trimesh.creation.icosphere(1)
    points, normals = np.array(ball.vertices, dtype=np.float32), np.array(ball.vertices, dtype=np.float32)
    still = np.zeros((1, len(points), 3), np.float32)
    fine = subdivide(Surface("ball", points, normals, still, still, points, np.asarray(ball.faces)))
    flat, curved = ball.subdivide().vertices, fine.points
    assert len(fine.triangles) == 4 * len(ball.faces)
    assert 1 - np.linalg.norm(curved, axis=1).min() < 0.3 * (1 - np.linalg.norm(flat, axis=1).min())
    assert not fine.displacements.any()
