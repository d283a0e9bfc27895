"""Texture coordinates for a head that has none."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def cylindrical_uv(vertices: Tensor, faces: Tensor) -> tuple[Tensor, Tensor]:
    """Unroll a head onto the cylinder around its upright axis, with the seam at the back.

    Seen from outside the texture is the right way round: u grows towards the subject's left (+X) in the middle of the
    face, v upwards. Layers behind one another (an eyeball and its lids) share their part of the texture.

    Args:
        vertices: (V, 3) metres, head frame. faces: (F, 3) int64.

    Returns:
        Coordinates (T, 2) in [0, 1], T >= V because corners on the seam are doubled, and (F, 3) int64 indices.
    """
    low, high = vertices.amin(0), vertices.amax(0)
    x, y, z = (vertices - (low + high) / 2).unbind(1)
    u = torch.atan2(x, z) / (2 * math.pi) + 0.5
    v = (y - y.min()) / (y.max() - y.min()).clamp_min(1e-9)
    corners = u[faces]
    # A triangle that seems to reach around the whole head crosses the seam: its left part continues on the right.
    crossing = corners.amax(1) - corners.amin(1) > 0.5
    beyond = crossing[:, None] & (corners < 0.5)
    doubled = torch.unique(faces[beyond])
    place = torch.zeros(len(vertices), dtype=torch.int64, device=faces.device)
    place[doubled] = len(vertices) + torch.arange(len(doubled), device=faces.device)
    uv = torch.stack([torch.cat([u, u[doubled] + 1]), torch.cat([v, v[doubled]])], dim=1)
    uv[:, 0] /= uv[:, 0].max().clamp_min(1.0)
    return uv, torch.where(beyond, place[faces], faces)
