"""Baked renderings against procedural ones."""

from __future__ import annotations

import pytest
import torch

from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams
from smirk3d.render.appearance.baked_face import BakedFaceRenderer
from smirk3d.render.appearance.procedural_face import Appearance, Light, ProceduralFaceRenderer, ProjectedHead

SIZE = 64


@pytest.fixture(scope="module")
def renderer(baked_renderer: BakedFaceRenderer) -> BakedFaceRenderer:
    return baked_renderer


@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_baked_colors_agree_with_the_procedural_renderer(
    open_head: HeadModel, renderer: BakedFaceRenderer, strength: float
) -> None:
    mottle = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    appearance = Appearance(
        lip_strength=strength,
        brow_strength=strength,
        hair_strength=strength,
        mottle_strength=0.05 * strength,  # baked translucent layers are mixed with skin without mottle
        mottle=mottle,
    )
    vertices = open_head(FaceParams(expression=0.5 * torch.eye(52)[17])).vertices  # jawOpen
    placed = (vertices - vertices[open_head.region_mask("face")].mean(0)) * torch.tensor([8.0, -8.0, -1.0])
    ndc = placed + torch.tensor([0.0, 0.0, 2.0])
    color, cover = renderer.render(ndc, vertices, 128, appearance, Light())
    background = torch.full((3, 128, 128), 0.5)
    procedural = ProceduralFaceRenderer(open_head, 1).render(
        ProjectedHead(ndc, vertices, ndc[:, 2]), 128, appearance, Light(), background
    )
    difference = (color + (1 - cover) * background - procedural).abs().amax(0)
    assert 0.3 < cover.mean() < 0.9
    assert difference.mean() < 0.004 and (difference > 0.1).float().mean() < 0.01


def test_baked_variants_agree_with_the_procedural_renderer(open_head: HeadModel) -> None:
    variants = [Appearance(brow_lift_m=0.004), Appearance(brow_width=1.35, iris_scale=1.2, lip_edge=0.3)]
    renderer, vertices = BakedFaceRenderer(open_head, variants), open_head.v_template
    placed = (vertices - vertices[open_head.region_mask("face")].mean(0)) * torch.tensor([8.0, -8.0, -1.0])
    ndc = placed + torch.tensor([0.0, 0.0, 2.0])
    renderings = []
    for appearance in variants:
        color, cover = renderer.render(ndc, vertices, 128, appearance, Light())
        behind = torch.full((3, 128, 128), 0.5)
        procedural = ProceduralFaceRenderer(open_head, 1).render(
            ProjectedHead(ndc, vertices, ndc[:, 2]), 128, appearance, Light(), behind
        )
        assert (color + (1 - cover) * behind - procedural).abs().amax(0).mean() < 0.004
        renderings.append(color)
    assert ((renderings[0] - renderings[1]).abs().amax(0) > 0.1).float().mean() > 0.01


def test_tint_multiplies_colors(open_head: HeadModel, renderer: BakedFaceRenderer) -> None:
    vertices = open_head.v_template
    ndc = (vertices - vertices.mean(0)) * torch.tensor([8.0, -8.0, -1.0]) + torch.tensor([0.0, 0.0, 2.0])
    bare = Light(direct=0.5, sky=0.0, ambient=0.2, highlight=0.0)
    plain, _ = renderer.render(ndc, vertices, SIZE, Appearance(), bare)
    tint = torch.tensor([0.5, 1.0, 0.25]).expand(len(vertices), 3)
    tinted, _ = renderer.render(ndc, vertices, SIZE, Appearance(), bare, tint)
    torch.testing.assert_close(tinted, plain * tint[0][:, None, None], atol=1e-4, rtol=0)
