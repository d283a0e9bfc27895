"""Colours of the vertices of a head with an appearance."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from smirk3d.head.model import HeadModel
from smirk3d.render.appearance.appearance_model import head_textures
from smirk3d.render.appearance.face_appearance import FaceAppearance
from smirk3d.render.appearance.materials import (
    eye_color_at,
    eye_uv,
    material_parts,
    region_vertices,
    vertex_colors,
)
from smirk3d.render.appearance.skin_layout import skin_uv

_HALVINGS = 2
"""The vertices are coarser than the texture."""


def head_colors(head: HeadModel, appearance: FaceAppearance | None) -> np.ndarray:
    """Return a colour for every vertex, (V, 3) float32 sRGB in [0, 1].

    Args:
        head: The head.
        appearance: Its appearance; None for the plain colours of `materials.vertex_colors`.
    """
    colors = vertex_colors(head)
    if appearance is None:
        return colors
    colors = colors.copy()
    textures = head_textures(appearance, _HALVINGS)
    skin = material_parts(head)[0].face_index
    image = torch.tensor(textures.skin).permute(2, 0, 1)[None].float() / 255
    grid = torch.tensor(skin_uv(head)) * torch.tensor([2.0, -2.0]) + torch.tensor([-1.0, 1.0])
    sampled = functional.grid_sample(image, grid[None, None], padding_mode="border", align_corners=False)
    at_row = sampled[0, :, 0].T.numpy()
    colors[head.faces.cpu().numpy()[skin]] = at_row[head.faces_uv.cpu().numpy()[skin]]
    eyeballs = region_vertices(head, "eyeballs")
    colors[eyeballs] = eye_color_at(eye_uv(head)[eyeballs], colors=textures.eye)
    return colors
