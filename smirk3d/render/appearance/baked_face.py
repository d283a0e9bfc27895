"""Fast renderings of one head: opacities of skin, lips, brows, irises and so on, baked into texels.

A pixel then needs a few products instead of distances to brows and irises. The albedo of `ProceduralFaceRenderer` is
linear in its layer colours, so a baked opacity for each layer reproduces it for all colours; only shapes, such as the
width of the brows, must be baked in variants.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from smirk3d.head.model import HeadModel
from smirk3d.render.appearance.procedural_face import (
    REGION_CHANNELS,
    Appearance,
    Light,
    ProceduralFaceRenderer,
    shade_half_lambert,
)
from smirk3d.render.appearance.texel_grid import texel_centers, texel_index
from smirk3d.render.fragments import interpolate_covered, to_image
from smirk3d.render.rasterize import rasterize
from smirk3d.render.shading import vertex_normals

BROW_WIDTHS = (0.65, 1.0, 1.35)
"""Widths of the brows that are always baked, see `Appearance.brow_width`."""
_LAYERS = ("skin", "lips", "brows", "iris", "sclera", "hair", "teeth")


class BakedFaceRenderer:
    """Renders crops of one head with baked layers.

    Args:
        head: The head; its landmarks place brows and lips.
        variants: Appearances whose shapes of brows, lips and irises are baked in addition to `BROW_WIDTHS`.
    """

    def __init__(self, head: HeadModel, variants: Sequence[Appearance] = ()) -> None:
        self.head = head
        self._faces = head.faces.to(torch.int32)
        renderer = ProceduralFaceRenderer(head)
        defaults = [Appearance(brow_width=width) for width in BROW_WIDTHS]
        self._variants = torch.stack([_variant_features(each) for each in (*defaults, *variants)])
        self._tables = [_bake(renderer, each) for each in (*defaults, *variants)]

    def render(
        self,
        ndc: Tensor,
        posed: Tensor,
        size: int,
        appearance: Appearance,
        light: Light,
        tint: Tensor | None = None,
        albedo: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Render one head in perspective.

        Args:
            ndc: (V, 3) float, image space; the third coordinate is the camera depth in metres, > 0.
            posed: (V, 3) float, metres, posed head in the camera frame.
            size: S, side of the image in pixels.
            appearance: Its colours are used as they are; of its shapes, the nearest baked variant is taken.
            light: Illumination.
            tint: (V, 3) float >= 0, factor on the colours; None for none.
            albedo: (F T², 3) float in [0, 1], colours of the texels, see
                `smirk3d.render.appearance.appearance_texels`; None for those of `appearance`.

        Returns:
            Premultiplied colour (3, S, S) and coverage (1, S, S), both float in [0, 1].
        """
        fragments = rasterize(ndc[None], self._faces, size, w=ndc[None, :, 2])
        mottle_phase = self.head.v_template @ appearance.mottle[:, :3].T * 60 + appearance.mottle[:, 3]
        wave = mottle_phase.sin().sum(1, keepdim=True)
        normals = vertex_normals(posed, self.head.faces)
        attributes = [normals, wave] if tint is None else [normals, wave, tint]
        pixel, values = interpolate_covered(fragments, torch.cat(attributes, dim=1)[None], self._faces)
        variant = int((self._variants - _variant_features(appearance)).square().sum(1).argmin())
        texel = texel_index(fragments, pixel)
        texels = self._tables[variant].index_select(0, texel)
        layer_colors = _layer_colors(appearance)
        if albedo is None:
            # The mottle multiplies the skin only, whose opacity is the first column and whose colour the first row.
            mottle = texels[:, :1] * (appearance.mottle_strength * values[:, 3:4]) * layer_colors[0]
            color = texels[:, : len(layer_colors)] @ layer_colors + mottle
        else:
            color = albedo.index_select(0, texel)
        if tint is not None:
            color = color * values[:, 4:]
        region_weights = texels[:, len(layer_colors) :]
        lit = shade_half_lambert(color, values[:, :3], light, region_weights).clamp_(0, 1)
        image = to_image(fragments, pixel, torch.cat([lit, torch.ones_like(lit[:, :1])], dim=1))
        return image[0].permute(2, 0, 1).split([3, 1])  # type: ignore[return-value]


def _variant_features(appearance: Appearance) -> Tensor:
    """Return the baked shapes of an appearance, (5,), scaled so that typical differences are alike."""
    return torch.tensor(
        [
            appearance.brow_width,
            200 * appearance.brow_lift_m,
            5 * appearance.brow_tilt,
            3 * appearance.iris_scale,
            2 * appearance.lip_edge,
        ]
    )


def _bake(renderer: ProceduralFaceRenderer, variant: Appearance) -> Tensor:
    """Return the texels (F·T², 17): opacity of the seven layers, constant colour (3), region weights (7)."""
    attributes = torch.cat([renderer.neutral, renderer.region_weights], dim=1)
    values = torch.einsum("tk,fkc->ftc", texel_centers(), attributes[renderer.head.faces]).reshape(
        -1, 3 + len(REGION_CHANNELS)
    )
    neutral = values[:, :3]
    weights: dict[str, Tensor] = dict(zip(REGION_CHANNELS, values[:, 3:].unbind(1)))

    plain = replace(variant, brow_strength=1.0, lip_strength=1.0)

    def albedo(**colors: tuple[float, float, float]) -> Tensor:
        appearance = replace(plain, **{name: colors.get(name, (0.0, 0.0, 0.0)) for name in _LAYERS})
        return renderer.albedo(neutral, weights, appearance)

    # With all layers black, what remains is constant. Each primary colour then isolates the opacity of one layer,
    # three at a time.
    constant = albedo()
    red, green, blue = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
    skin_lips_brows = albedo(skin=red, lips=green, brows=blue) - constant
    iris_sclera_hair = albedo(iris=red, sclera=green, hair=blue) - constant
    teeth = (albedo(teeth=red) - constant)[:, :1]
    return torch.cat([skin_lips_brows, iris_sclera_hair, teeth, constant, values[:, 3:]], dim=1)


def _layer_colors(appearance: Appearance) -> Tensor:
    """Return the colours (10, 3) of the layers, translucent ones mixed with the skin, and the unit for constants."""
    colors = {name: torch.tensor(getattr(appearance, name)) for name in _LAYERS}
    strengths = {
        "lips": appearance.lip_strength,
        "brows": appearance.brow_strength,
        "hair": appearance.hair_strength,
    }
    for name, strength in strengths.items():
        colors[name] = colors["skin"] + strength * (colors[name] - colors["skin"])
    return torch.cat([torch.stack([colors[name] for name in _LAYERS]), torch.eye(3)])
