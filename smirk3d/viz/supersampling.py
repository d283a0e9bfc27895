"""Adaptive supersampling: pixels inside a smooth part are shaded once, those at edges four times."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from smirk3d.render.fragments import Fragments

SUPERSAMPLE = 2
"""Samples per pixel and direction at edges."""
BACKGROUND, DETAILED = 0, 1
"""Labels of the background and of parts with detail finer than their triangles; smooth parts have larger labels."""


@dataclass(frozen=True)
class PixelWindow:
    """A rectangular part of an image.

    Attributes:
        size: Height and width of the whole image in pixels.
        rows: Rows of the window.
        columns: Columns of the window.
    """

    size: tuple[int, int]
    rows: slice
    columns: slice

    @property
    def height(self) -> int:
        """Height of the window in pixels."""
        return self.rows.stop - self.rows.start

    @property
    def width(self) -> int:
        """Width of the window in pixels."""
        return self.columns.stop - self.columns.start

    def ndc(self, ndc: Tensor) -> Tensor:
        """Transform from the image space of the whole image to that of the window, both as in `rasterize`.

        Args:
            ndc: (V, 3) float.

        Returns:
            (V, 3) float.
        """
        full = ndc.new_tensor([self.size[1], self.size[0]])
        start = ndc.new_tensor([self.columns.start, self.rows.start])
        extent = ndc.new_tensor([self.width, self.height])
        return torch.cat([((ndc[:, :2] + 1) * full - 2 * start) / extent - 1, ndc[:, 2:]], dim=1)


def window_around(ndc: Tensor, size: tuple[int, int]) -> PixelWindow | None:
    """Return the part of an image that points can cover.

    Args:
        ndc: (V, 3) float, image space.
        size: Height and width of the image in pixels.

    Returns:
        The bounding box with a margin of one pixel; None where no point is inside the image.
    """
    points = ndc[ndc.isfinite().all(dim=1), :2]
    if len(points) == 0:
        return None
    limit = points.new_tensor([size[1], size[0]])
    low, high = ((points.aminmax(dim=0)[k] + 1) / 2 * limit for k in (0, 1))
    first = (low.floor() - 1).clamp_min(0).minimum(limit).int().tolist()
    last = (high.ceil() + 1).minimum(limit).clamp_min(0).int().tolist()
    if first[0] >= last[0] or first[1] >= last[1]:
        return None
    return PixelWindow(size, slice(first[1], last[1]), slice(first[0], last[0]))


@dataclass(frozen=True)
class Samples:
    """Surface points to shade for an image: of N pixels with one sample, then of M pixels with four.

    Attributes:
        size: Height and width of the image in pixels.
        face: (N + 4 M,) int64, triangles; 0 where a sample shows the background.
        barycentric: (N + 4 M, 3) float, weights of their corners; zeros in the background.
        covered: (4 M, 1) float, whether each sample of the pixels with four shows a triangle, 1 or 0.
        single: (N,) int64, flat indices of the pixels with one sample.
        multiple: (M,) int64, flat indices of the pixels with four samples.
    """

    size: tuple[int, int]
    face: Tensor
    barycentric: Tensor
    covered: Tensor
    single: Tensor
    multiple: Tensor


def choose_samples(fragments: Fragments, part: Tensor, step: float) -> Samples:
    """Choose the samples of an image rasterised at `SUPERSAMPLE` times its size.

    A pixel gets one sample where all its fragments belong to one smooth part and have nearly equal depth.

    Args:
        fragments: One image of even height and width.
        part: (F + 1,) uint8, labels of the triangles, the last one `BACKGROUND`.
        step: Maximum difference in depth within a smooth surface.
    """
    face, depth = fragments.face_index[0], fragments.depth[0]
    # The background, index -1, gets the last label.
    label = part.index_select(0, torch.where(face < 0, len(part) - 1, face).reshape(-1)).reshape(face.shape)
    lowest, highest = _block_range(label)
    nearest, farthest = _block_range(depth)
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
    """Average samples to pixels.

    Args:
        samples: The samples.
        colors: (N + 4 M, 3) float, their colours.

    Returns:
        (H, W, 4) float: RGB times alpha, then alpha.
    """
    count = len(samples.single)
    height, width = samples.size
    image = colors.new_zeros(height * width, 4)
    image[samples.single, :3], image[samples.single, 3] = colors[:count], 1.0
    mixed = torch.cat([colors[count:] * samples.covered, samples.covered], dim=1)
    image[samples.multiple] = mixed.reshape(-1, SUPERSAMPLE**2, 4).mean(dim=1)
    return image.reshape(height, width, 4)


def _block_range(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return minimum and maximum (H, W) over blocks of 2 by 2 of values (2 H, 2 W)."""
    a, b, c, d = (values[i::SUPERSAMPLE, j::SUPERSAMPLE] for i in (0, 1) for j in (0, 1))
    return a.minimum(b).minimum(c.minimum(d)), a.maximum(b).maximum(c.maximum(d))
