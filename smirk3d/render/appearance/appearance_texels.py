"""The packaged appearance model on the texels of the open head's triangles, for fast renderings of many people."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from smirk3d.head.model import HeadModel
from smirk3d.render.appearance.appearance_model import appearance_model
from smirk3d.render.appearance.face_appearance import FaceAppearance
from smirk3d.render.appearance.materials import eye_color_at, eye_uv, iris_colors, material_parts, vertex_colors
from smirk3d.render.appearance.skin_layout import skin_uv
from smirk3d.render.appearance.texel_grid import texel_centers

_HALVINGS = 1
"""A texel of the half resolution is about as large as a texel of a triangle."""


class AppearanceTexels:
    """Colours of all texels of the open head (see `smirk3d.render.appearance.texel_grid`) with an appearance.

    Args:
        head: The open head.
    """

    def __init__(self, head: HeadModel) -> None:
        faces, centers = head.faces.cpu(), texel_centers()
        parts = {part.name: torch.tensor(part.face_index) for part in material_parts(head)}
        self._shape = (len(faces), len(centers), 3)
        self._skin, self._eyes = parts["skin"], parts["eyes"]
        skin_corners = torch.tensor(skin_uv(head))[head.faces_uv.cpu()[self._skin]]
        grid = skin_corners * torch.tensor([2.0, -2.0]) + torch.tensor([-1.0, 1.0])
        self._skin_grid = torch.einsum("tk,fkc->ftc", centers, grid)
        eye_corners = torch.tensor(eye_uv(head))[faces[self._eyes]]
        self._eye_uv = torch.einsum("tk,fkc->ftc", centers, eye_corners).numpy()
        self._fixed = torch.einsum("tk,fkc->ftc", centers, torch.tensor(vertex_colors(head))[faces])

    def colors(self, appearance: FaceAppearance) -> Tensor:
        """Return the colours (F T², 3) float32, sRGB in [0, 1], of an appearance."""
        image = torch.from_numpy(appearance_model(_HALVINGS).colors(appearance))[None].clamp(0, 1)
        skin = functional.grid_sample(image, self._skin_grid[None], padding_mode="border", align_corners=False)[0]
        colors = self._fixed.clone()
        colors[self._skin] = skin.permute(1, 2, 0)
        eyes = eye_color_at(self._eye_uv, colors=iris_colors(appearance.iris))
        colors[self._eyes] = torch.from_numpy(np.asarray(eyes, dtype=np.float32))
        return colors.reshape(-1, 3)
