"""Colours of single teeth and gums on the open head's dental arches, which are two smooth bands of few triangles.

Both arches are mapped from the front onto one texture: the upper teeth fill its upper half, the lower teeth the lower
half, biting edges towards the middle.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor

from smirk3d.head.memoize import cache_per_head
from smirk3d.head.model import HeadModel
from smirk3d.render.appearance.materials import region_vertices

UPPER_EDGES_M = (0.0, 0.0085, 0.0150, 0.0220, 0.0275, 0.0320)
LOWER_EDGES_M = (0.0, 0.0053, 0.0112, 0.0178, 0.0240, 0.0295)
"""Distances of the gaps between teeth from the midline, seen from the front: usual widths of adults."""
UPPER_CROWN_M = 0.0112
LOWER_CROWN_M = 0.0095
"""Height of the crowns; beyond it there are gums."""
ENAMEL_COLOR = (0.93, 0.91, 0.87)
GUM_COLOR = (0.66, 0.38, 0.37)
NECK_COLOR = (0.80, 0.75, 0.68)
"""Of teeth at the gums."""
DARK_COLOR = (0.13, 0.06, 0.06)
"""Of the mouth behind the teeth."""
CORRIDOR_M = (0.010, 0.028)
"""Distances from the midline between which cheeks and lips take the light."""
CORRIDOR_LIGHT = 0.45
_UPPER_SHORTER_M = (0.0, 0.0009, 0.0002, 0.0007, 0.0010, 0.0012)
_LOWER_SHORTER_M = (0.0, 0.0001, 0.0003, 0.0006, 0.0008, 0.0010)
"""By how much each tooth, from the midline outwards, ends before the edge of the arch."""
_GAP_M, _GAP_SHADE = 0.0004, (0.24, 0.31, 0.34)
_CORNER_M = 0.0011
"""Height of the rounded corners of a biting edge."""
_PAPILLA_M = 0.0022
"""How far the gums reach down between two teeth."""
_SOFTNESS_M = 0.00025
_HALF_WIDTH_M, _HALF_HEIGHT_M, _MARGIN_M = 0.036, 0.024, 0.002
"""Extent of half the texture in metres, and how much of it lies before the biting edges."""
_FRONT_M, _RISE = 0.009, 0.14
"""Beyond this distance from the midline the biting edges rise, by this slope."""


@cache_per_head
def teeth_uv(head: HeadModel) -> np.ndarray:
    """Return texture coordinates of the teeth.

    Args:
        head: The head.

    Returns:
        (V, 2) float32 in [0, 1], v upwards, read-only; zeros beside the teeth.
    """
    uv = np.zeros((len(head.v_template), 2), dtype=np.float32)
    x, y = head.v_template.detach().cpu().numpy().astype(np.float64)[:, :2].T
    for name, sign in (("upper_teeth", 1.0), ("lower_teeth", -1.0)):
        teeth = region_vertices(head, name)
        if not teeth.any():
            continue
        in_front = teeth & (np.abs(x) < 1.3 * _FRONT_M)
        edge = sign * (sign * y[in_front]).min() + _RISE * (np.abs(x[teeth]) - _FRONT_M).clip(0, None)
        height = sign * (y[teeth] - edge)
        uv[teeth, 0] = 0.5 + 0.5 * x[teeth] / _HALF_WIDTH_M
        uv[teeth, 1] = 0.5 + 0.5 * sign * ((height + _MARGIN_M) / _HALF_HEIGHT_M).clip(0.01, 1)
    uv.setflags(write=False)
    return uv


def teeth_color_at(uv: Tensor) -> Tensor:
    """Return the colours of teeth and gums.

    Args:
        uv: (..., 2) float in [0, 1], see `teeth_uv`.

    Returns:
        (..., 3) float, sRGB in [0, 1].
    """
    x_m = (2 * uv[..., 0] - 1).abs() * _HALF_WIDTH_M
    beyond = 2 * uv[..., 1] - 1
    height_m = beyond.abs() * _HALF_HEIGHT_M - _MARGIN_M
    upper = _jaw_color(x_m, height_m, UPPER_EDGES_M, _UPPER_SHORTER_M, UPPER_CROWN_M)
    lower = _jaw_color(x_m, height_m, LOWER_EDGES_M, _LOWER_SHORTER_M, LOWER_CROWN_M)
    color = torch.where(beyond[..., None] > 0, upper, lower)
    near, far = CORRIDOR_M
    away = ((x_m - near) / (far - near)).clamp(0, 1)
    light = 1 - (1 - CORRIDOR_LIGHT) * away * away * (3 - 2 * away)
    return color * light[..., None]


@functools.cache
def teeth_texture(size: int = 512) -> np.ndarray:
    """Return the texture of both arches for `teeth_uv`, (size, size, 3) uint8 sRGB, read-only."""
    u, v = np.meshgrid(*[(np.arange(size) + 0.5) / size] * 2)
    colors = teeth_color_at(torch.from_numpy(np.stack([u, 1 - v], axis=-1)))
    image = (colors * 255).round().byte().numpy()
    image.setflags(write=False)
    return image


def _jaw_color(
    x_m: Tensor, height_m: Tensor, edges_m: tuple[float, ...], shorter_m: tuple[float, ...], crown_m: float
) -> Tensor:
    """Return the colours (..., 3) at a distance from the midline and a height above the biting edge of the arch."""
    edges = torch.tensor(edges_m, dtype=x_m.dtype)
    tooth = (torch.bucketize(x_m.contiguous(), edges, right=True) - 1).clamp(0, len(edges) - 2)
    start, end = edges[tooth], edges[tooth + 1]
    across = ((2 * x_m - start - end) / (end - start)).clamp(-1, 1)  # -1 and 1 at the sides of a tooth
    corner = across.square().square()
    beside_m = torch.minimum(x_m - start, end - x_m).abs()
    shorter = torch.tensor(shorter_m, dtype=x_m.dtype)[tooth]
    end_m = shorter + _CORNER_M * corner
    neck_m = crown_m + shorter - _PAPILLA_M * corner
    tint = (height_m / crown_m).clamp(0, 1).square()[..., None]
    color = torch.lerp(x_m.new_tensor(ENAMEL_COLOR), x_m.new_tensor(NECK_COLOR), tint)
    color = color * (1 - 0.10 * corner)[..., None]
    gap = torch.exp(-((beside_m / _GAP_M) ** 2))[..., None]
    color = color * (1 - gap * x_m.new_tensor(_GAP_SHADE))
    color = torch.lerp(color, x_m.new_tensor(GUM_COLOR), _step(height_m - neck_m))
    return torch.lerp(x_m.new_tensor(DARK_COLOR), color, _step(height_m - end_m))


def _step(distance_m: Tensor) -> Tensor:
    """Return a soft step (..., 1) from 0 to 1 at 0."""
    return torch.sigmoid(distance_m / _SOFTNESS_M)[..., None]
