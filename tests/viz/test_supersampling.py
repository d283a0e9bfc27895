"""Adaptive supersampling against full supersampling."""

from __future__ import annotations

import torch
from torch.nn import functional

from smirk3d.render.fragments import interpolate
from smirk3d.render.rasterize import rasterize
from smirk3d.viz.supersampling import SUPERSAMPLE, average, choose_samples, window_around

SIZE = (24, 32)
FACES = torch.tensor([[0, 1, 2], [3, 4, 5]])


def triangles() -> torch.Tensor:
    """Return two triangles (6, 3), the second in front of a part of the first."""
    near = [[0.0, -0.9, 0.1], [0.8, 0.1, 0.1], [-0.1, 0.5, 0.1]]
    return torch.tensor([[-0.9, -0.8, 0.5], [0.7, -0.6, 0.5], [-0.3, 0.9, 0.5], *near])


def drawn(part: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Return the sparing picture, the one with all samples, (H, W, 4), and the number of samples painted."""
    fragments = rasterize(triangles()[None], FACES, (SIZE[0] * SUPERSAMPLE, SIZE[1] * SUPERSAMPLE))
    colors = torch.rand(2, 3, generator=torch.Generator().manual_seed(0))
    samples = choose_samples(fragments, part, step=0.2)
    every = interpolate(fragments, colors.repeat_interleave(3, dim=0), FACES)[0]
    every = torch.cat([every, fragments.mask[0, ..., None].float()], dim=2)
    pooled = functional.avg_pool2d(every.movedim(2, 0), SUPERSAMPLE).movedim(0, 2)
    return average(samples, colors[samples.face]), pooled, len(samples.face)


def test_plain_triangles_equal_full_supersampling():
    for labels in ([2, 3, 0], [2, 2, 0], [1, 2, 0]):
        sparing, pooled, _ = drawn(torch.tensor(labels, dtype=torch.uint8))
        torch.testing.assert_close(sparing, pooled, atol=1e-5, rtol=0)


def test_smooth_parts_cost_less_than_detailed_ones():
    smooth, detailed = (drawn(torch.tensor([label, label, 0], dtype=torch.uint8))[2] for label in (2, 1))
    assert smooth < 0.6 * detailed


def test_the_window_contains_all_covered_pixels():
    ndc = triangles()[3:] + torch.tensor([0.6, -0.3, 0.0])
    window = window_around(ndc, SIZE)
    assert window is not None and window.width < SIZE[1]
    whole = rasterize(ndc[None], FACES[:1], SIZE).mask[0]
    part = rasterize(window.ndc(ndc)[None], FACES[:1], (window.height, window.width)).mask[0]
    assert torch.equal(whole[window.rows, window.columns], part) and whole.sum() == part.sum() > 0


def test_no_window_outside_the_image():
    assert window_around(triangles() + torch.tensor([9.0, 0.0, 0.0]), SIZE) is None
    assert window_around(triangles() - torch.tensor([0.0, 9.0, 0.0]), SIZE) is None
    assert window_around(torch.full((3, 3), torch.nan), SIZE) is None
