"""Frames are shown as their display matrix says, mirrored or rotated."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from video_files import HEIGHT, WIDTH, with_display_matrix, write_video

from smirk3d.media.frame_converter import displayed
from smirk3d.media.video import VideoFile

pytest.importorskip("av")
MATRICES = [
    np.array(rows, dtype=float) for s, t in product((1, -1), repeat=2) for rows in ([[s, 0], [0, t]], [[0, s], [t, 0]])
]
"""All by which whole quarter turns and mirroring can show an image."""


@pytest.mark.parametrize("matrix", MATRICES)
def test_points_are_shown_where_the_display_matrix_maps_them(matrix: np.ndarray) -> None:
    height, width = 3, 5
    y, x = np.mgrid[:height, :width]
    points = np.stack([x, y], axis=-1)
    shown = np.round(points @ matrix).astype(int)
    shown -= shown.min(axis=(0, 1))
    found = displayed(np.dstack([points, points[..., :1]]), matrix)
    assert found.shape == ((height, width, 3) if matrix[0, 0] else (width, height, 3))
    np.testing.assert_array_equal(found[shown[..., 1], shown[..., 0], :2], points)


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("angle_deg", [-40, -10, 10, 40])
def test_another_angle_counts_as_the_nearest_quarter_turn(matrix: np.ndarray, angle_deg: float) -> None:
    pixels = np.arange(45).reshape(3, 5, 3)
    cos, sin = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    rotated = matrix @ np.array([[cos, sin], [-sin, cos]])
    np.testing.assert_array_equal(displayed(pixels, 1.5 * rotated), displayed(pixels, matrix))


@pytest.mark.parametrize("matrix", MATRICES)
def test_mirrored_videos_are_shown_as_players_show_them(matrix: np.ndarray, tmp_path: Path) -> None:
    stored = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    stored[: HEIGHT // 2, : WIDTH // 2], stored[HEIGHT // 2 :, : WIDTH // 2] = 250, 120
    path = write_video(tmp_path / "a.mp4", [stored] * 2)
    plain = next(VideoFile(path).frames()).pixels
    found = next(VideoFile(with_display_matrix(path, *matrix.astype(int).ravel())).frames()).pixels
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, displayed(plain, matrix))
