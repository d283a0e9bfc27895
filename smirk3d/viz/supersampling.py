"""Soft edges at little cost: pixels inside a smooth part are painted once, those at edges four times."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from smirk3d.render.fragments import Fragments

SUPERSAMPLE = 2
"""Samples a pixel and direction."""
BACKGROUND, DETAILED = 0, 1
"""Labels of the background and of parts with finer detail than their triangles; smooth parts are above."""


@dataclass(frozen=True)
class Window:
    """A part of a picture of `size` (height, width), in pixels."""

    size: tuple[int, int]
    rows: slice
    columns: slice

    @property
    def height(self) -> int:
        """Rows of the window."""
        return self.rows.stop - self.rows.start

    @property
    def width(self) -> int:
        """Columns of the window."""
        return self.columns.stop - self.columns.start

    def ndc(self, ndc: Tensor) -> Tensor:
        """Return the picture's image space (V, 3) in that of the window, both as in `rasterize`."""
        full = ndc.new_tensor([self.size[1], self.size[0]])
        start = ndc.new_tensor([self.columns.start, self.rows.start])
        extent = ndc.new_tensor([self.width, self.height])
        return torch.cat([((ndc[:, :2] + 1) * full - 2 * start) / extent - 1, ndc[:, 2:]], dim=1)


def window_around(ndc: Tensor, size: tuple[int, int]) -> Window | None:
    """Return the part of a picture that points (V, 3) in image space can touch, None where there is none."""
    points = ndc[ndc.isfinite().all(dim=1), :2]
    if len(points) == 0:
        return None
    limit = points.new_tensor([size[1], size[0]])
    low, high = ((points.aminmax(dim=0)[k] + 1) / 2 * limit for k in (0, 1))
    first = (low.floor() - 1).clamp_min(0).minimum(limit).int().tolist()
    last = (high.ceil() + 1).minimum(limit).clamp_min(0).int().tolist()
    if first[0] >= last[0] or first[1] >= last[1]:
        return None
    return Window(size, slice(first[1], last[1]), slice(first[0], last[0]))


@dataclass(frozen=True)
class Samples:
    """Surface points to paint for a picture of `size` (height, width).

    Attributes:
        face: (N + 4 M,) int64, triangles: of N pixels that get one sample, then of M pixels that get four.
        barycentric: (N + 4 M, 3), zeros where a sample shows the background (`face` is then 0).
        covered: (4 M, 1) 1 where the sample of a pixel with four shows a triangle, otherwise 0.
        single: (N,) int64 flat indices of the pixels with one sample. multiple: (M,) those with four.
    """

    size: tuple[int, int]
    face: Tensor
    barycentric: Tensor
    covered: Tensor
    single: Tensor
    multiple: Tensor


def choose_samples(fragments: Fragments, part: Tensor, step: float) -> Samples:
    """Choose what to paint of a picture rasterised at `SUPERSAMPLE` times its size.

    A pixel gets one sample where all its fragments are of one smooth part and nearly equally deep.

    Args:
        fragments: One picture of even height and width.
        part: (F + 1,) uint8 labels of the triangles, the last one `BACKGROUND`.
        step: Largest difference in depth inside a smooth surface.
    """
    face, depth = fragments.face_index[0], fragments.depth[0]
    # The background's index -1 reads the last label.
    label = part.index_select(0, torch.where(face < 0, len(part) - 1, face).reshape(-1)).reshape(face.shape)
    lowest, highest = _least_and_most(label)
    nearest, farthest = _least_and_most(depth)
    smooth = (lowest == highest) & (lowest > DETAILED) & (farthest - nearest < step)
    single, multiple = (mask.reshape(-1).nonzero()[:, 0] for mask in (smooth, (highest > BACKGROUND) & ~smooth))
    height, width = smooth.shape
    wide = face.shape[1]
    corner_of = torch.arange(height)[:, None] * (SUPERSAMPLE * wide) + torch.arange(width) * SUPERSAMPLE
    corner_of = corner_of.reshape(-1)
    around = corner_of[multiple][:, None] + torch.tensor([0, 1, wide, wide + 1])
    sample = torch.cat([corner_of[single], around.reshape(-1)])
    chosen = face.reshape(-1).index_select(0, sample)
    barycentric = fragments.barycentric.reshape(-1, 3).index_select(0, sample)
    covered = (chosen[len(single) :, None] >= 0).to(depth.dtype)
    return Samples((height, width), chosen.clamp_min(0), barycentric, covered, single, multiple)


def average(samples: Samples, colors: Tensor) -> Tensor:
    """Return the picture (H, W, 4) of sample colours (N + 4 M, 3): RGB times alpha, alpha."""
    count = len(samples.single)
    height, width = samples.size
    picture = colors.new_zeros(height * width, 4)
    picture[samples.single, :3], picture[samples.single, 3] = colors[:count], 1.0
    mixed = torch.cat([colors[count:] * samples.covered, samples.covered], dim=1)
    picture[samples.multiple] = mixed.reshape(-1, SUPERSAMPLE**2, 4).mean(dim=1)
    return picture.reshape(height, width, 4)


def _least_and_most(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return the minima and maxima (H, W) of blocks of 2 x 2 of values (2 H, 2 W)."""
    a, b, c, d = (values[i::SUPERSAMPLE, j::SUPERSAMPLE] for i in (0, 1) for j in (0, 1))
    return a.minimum(b).minimum(c.minimum(d)), a.maximum(b).maximum(c.maximum(d))
