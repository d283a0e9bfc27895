from __future__ import annotations

import torch

from smirk3d.head.model import HeadModel
from smirk3d.render.appearance.appearance_texels import AppearanceTexels
from smirk3d.render.appearance.face_appearance import FaceAppearance
from smirk3d.render.appearance.face_colors import head_colors
from smirk3d.render.appearance.random_face_appearance import random_face_appearance
from smirk3d.render.appearance.texel_grid import TEXELS_PER_SIDE


def test_texels_average_to_the_colours_of_the_vertices(open_head: HeadModel) -> None:
    appearance = FaceAppearance(skin=(0.4, 0.3, 0.2), hair_short=0.0)
    texels = AppearanceTexels(open_head).colors(appearance).reshape(-1, TEXELS_PER_SIDE**2, 3).mean(1)
    vertices = torch.tensor(head_colors(open_head, appearance))[open_head.faces].mean(1)
    face = open_head.region_mask("face")[open_head.faces].all(1)
    assert (texels - vertices)[face].abs().mean() < 0.02


def test_random_appearances_are_wide_and_repeatable() -> None:
    drawn = [random_face_appearance(torch.Generator().manual_seed(seed)) for seed in range(60)]
    again = random_face_appearance(torch.Generator().manual_seed(3))
    lightness = [each.skin[0] for each in drawn]
    assert again == drawn[3]
    assert min(lightness) < 0.4 and max(lightness) > 0.8
    assert any(each.beard > 0.3 for each in drawn) and all(each.beard == 0 for each in drawn if each.female > 0.2)
