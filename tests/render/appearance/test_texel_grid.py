"""The texel grid of a triangle."""

import torch

from smirk3d.render import rasterize
from smirk3d.render.appearance.texel_grid import TEXELS_PER_SIDE, texel_centers, texel_index


def test_texels_tile_a_triangle():
    triangle = torch.tensor([[[-0.9, -0.9, 1.0], [-0.9, 0.9, 1.0], [0.9, -0.9, 1.0]]])
    fragments = rasterize(triangle, torch.tensor([[0, 1, 2]]), 120)
    pixel = fragments.mask.reshape(-1).nonzero()[:, 0]
    texel = texel_index(fragments, pixel)
    assert texel.min() >= 0 and texel.max() < TEXELS_PER_SIDE**2
    weights_of_pixels = fragments.barycentric.reshape(-1, 3)[pixel]
    assert (weights_of_pixels - texel_centers()[texel]).abs().max() < 1 / TEXELS_PER_SIDE
    count = torch.bincount(texel, minlength=TEXELS_PER_SIDE**2).view(TEXELS_PER_SIDE, TEXELS_PER_SIDE)
    first, second = torch.meshgrid(torch.arange(TEXELS_PER_SIDE), torch.arange(TEXELS_PER_SIDE), indexing="ij")
    whole, beyond = count[first + second < TEXELS_PER_SIDE - 1], count[first + second >= TEXELS_PER_SIDE]
    assert whole.max() < 1.3 * whole.min() and not beyond.any()
