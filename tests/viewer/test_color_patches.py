"""Patches of one colour, and subdivision."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh

from smirk3d.render.shading import vertex_normals
from smirk3d.viewer.color_patches import (
    SHADES,
    Surface,
    choose_palette,
    split_by_color,
    split_into_patches,
    subdivide,
)


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


def test_too_many_colors_become_shades() -> None:
    colors = np.random.default_rng(0).uniform(0, 1, (500, 3))
    palette = choose_palette(colors)
    assert len(palette) == SHADES
    distance = np.linalg.norm(colors[:, None] - palette, axis=2).min(axis=1)
    assert distance.mean() < 0.5 * np.linalg.norm(colors - colors.mean(0), axis=1).mean()


def test_two_colors_are_kept() -> None:
    two = choose_palette(np.array([[1.0] * 3] * 5 + [[0.0] * 3] * 2))
    assert two.tolist() == [[1.0] * 3, [0.0] * 3]


def test_patches_are_shaded_as_if_they_were_one_surface() -> None:
    x, y = np.meshgrid(np.linspace(-1, 1, 21), np.linspace(-1, 1, 21))
    points = np.stack([x, y, 0.4 * np.cos(2 * x) * np.cos(y)], axis=-1).reshape(-1, 3).astype(np.float32)
    corner = (np.arange(20)[:, None] * 21 + np.arange(20)).ravel()
    triangles = np.concatenate([corner[:, None] + np.array([0, 1, 21]), corner[:, None] + np.array([1, 22, 21])])
    normals = vertex_normals(torch.from_numpy(points), torch.from_numpy(triangles)).numpy()
    colors = np.where(points[:, :1] > 0.13, [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]).astype(np.float32)
    still = np.zeros((0, len(points), 3), dtype=np.float32)
    mesh = split_into_patches([Surface("skin", points, normals, still, still, colors, triangles)])
    assert len(mesh.patches) == 2
    found: dict[int, list[np.ndarray]] = {}
    for patch in mesh.patches:
        part = torch.from_numpy(mesh.points[patch.rows])
        own = vertex_normals(part, torch.from_numpy(patch.triangles)).numpy()
        for row, normal in zip(patch.rows.tolist(), own, strict=True):
            found.setdefault(row, []).append(normal)
    shared = [each for each in found.values() if len(each) == 2]
    assert len(shared) > 15
    angles = [np.degrees(np.arccos(np.clip(first @ second, -1, 1))) for first, second in shared]
    assert np.median(angles) < 1


def test_subdivision_of_a_sphere_is_rounder() -> None:
    ball = trimesh.creation.icosphere(1)
    points, normals = np.array(ball.vertices, dtype=np.float32), np.array(ball.vertices, dtype=np.float32)
    still = np.zeros((1, len(points), 3), np.float32)
    fine = subdivide(Surface("ball", points, normals, still, still, points, np.asarray(ball.faces)))
    flat, curved = ball.subdivide().vertices, fine.points
    assert len(fine.triangles) == 4 * len(ball.faces)
    assert 1 - np.linalg.norm(curved, axis=1).min() < 0.3 * (1 - np.linalg.norm(flat, axis=1).min())
    assert not fine.displacements.any()
