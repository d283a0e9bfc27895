"""The grid of patches: order, majority, neighbours."""

from __future__ import annotations

import torch
from torch.nn.functional import avg_pool2d

from smirk3d.fer.occlusion.patches import (
    GRID,
    N_PATCHES,
    PATCH_PX,
    grown,
    majority,
    patch_shares,
    to_patches,
    to_pixels,
)


def test_patches_are_counted_row_by_row() -> None:
    images = torch.rand(2, 1, 96, 96)
    patches = to_patches(images)
    row, column = 3, 7
    expected = images[1, 0, row * PATCH_PX : (row + 1) * PATCH_PX, column * PATCH_PX : (column + 1) * PATCH_PX]
    assert torch.equal(patches[1, row * GRID + column].view(PATCH_PX, PATCH_PX), expected)
    torch.testing.assert_close(patch_shares(images).view(2, 1, GRID, GRID), avg_pool2d(images, PATCH_PX))


def test_marks_of_patches_become_pixels_and_back() -> None:
    marks = torch.rand(3, N_PATCHES) > 0.5
    assert torch.equal(patch_shares(to_pixels(marks)) > 0.5, marks)


def test_the_majority_removes_single_patches_and_fills_single_holes() -> None:
    grid = torch.zeros(1, GRID, GRID, dtype=torch.bool)
    grid[0, 2, 2] = True
    assert not majority(grid.flatten(1)).any()
    grid[0, 4:9, 4:9] = True
    grid[0, 6, 6] = False
    kept = majority(grid.flatten(1)).view(GRID, GRID)
    assert kept[6, 6] and kept[5:8, 5:8].all() and not kept[2, 2]
    assert majority(torch.ones(1, N_PATCHES, dtype=torch.bool)).all()  # corners have four neighbours


def test_grown_patches_have_their_eight_neighbours() -> None:
    grid = torch.zeros(1, GRID, GRID, dtype=torch.bool)
    grid[0, 0, 5] = True
    wide = grown(grid.flatten(1)).view(GRID, GRID)
    assert wide[:2, 4:7].all() and int(wide.sum()) == 6
