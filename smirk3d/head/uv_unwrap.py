"""Cylindrical texture coordinates for a head that has none of its own."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def cylindrical_uv(vertices: Tensor, faces: Tensor) -> tuple[Tensor, Tensor]:
    """Project a head onto the cylinder around its vertical axis, with the seam at the back.

    From outside the texture is not mirrored: in the middle of the face u grows towards the subject's left (+X), v
    upwards. Surfaces behind one another (an eyeball and its lids) share their part of the texture.

    Args:
        vertices: (V, 3) metres, head frame.
        faces: (F, 3) int64 triangles.

    Returns:
        uv: (T, 2) coordinates in [0, 1]; T >= V because vertices on the seam are duplicated.
        faces_uv: (F, 3) int64 indices into `uv`.
    """
    low, high = vertices.amin(0), vertices.amax(0)
    x, y, z = (vertices - (low + high) / 2).unbind(1)
    u = torch.atan2(x, z) / (2 * math.pi) + 0.5
    v = (y - y.min()) / (y.max() - y.min()).clamp_min(1e-9)
    corners = u[faces]
    # A triangle that spans more than half of the circle crosses the seam: its corners at small u continue beyond u = 1.
    crossing = corners.amax(1) - corners.amin(1) > 0.5
    beyond = crossing[:, None] & (corners < 0.5)
    duplicated = torch.unique(faces[beyond])
    seam_index = torch.zeros(len(vertices), dtype=torch.int64, device=faces.device)
    seam_index[duplicated] = len(vertices) + torch.arange(len(duplicated), device=faces.device)
    uv = torch.stack([torch.cat([u, u[duplicated] + 1]), torch.cat([v, v[duplicated]])], dim=1)
    # u beyond the seam exceeds 1; the whole axis is scaled back to [0, 1].
    uv[:, 0] /= uv[:, 0].max().clamp_min(1.0)
    return uv, torch.where(beyond, seam_index[faces], faces)
