"""Fast pictures of a head: the opacities of skin, lips, brows, irises and so on are baked once into small squares.

A triangle's squares lie in its barycentric coordinates; a pixel then needs a few products in place of geometry.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from smirk3d.head.model import HeadModel
from smirk3d.render.appearance import procedural_face
from smirk3d.render.appearance.procedural_face import REGION_CHANNELS, Appearance, Light, ProceduralFaceRenderer
from smirk3d.render.appearance.texel_grid import texel_centers, texel_index
from smirk3d.render.fragments import interpolate_covered, to_image
from smirk3d.render.rasterize import rasterize
from smirk3d.render.shading import vertex_normals

BROW_WIDTHS = (0.65, 1.0, 1.35)
_PAINTS = ("skin", "lips", "brows", "iris", "sclera", "hair", "teeth")


class BakedFaceRenderer:
    """Paints crops of one head with baked colours.

    Args:
        head: The head; its landmarks say where brows and lips are.
        cuts: Looks whose brows, lips and irises are baked too.
    """

    def __init__(self, head: HeadModel, cuts: Sequence[Appearance] = ()) -> None:
        self.head = head
        self._faces = head.faces.to(torch.int32)
        painter = ProceduralFaceRenderer(head)
        usual = [Appearance(brow_width=width) for width in BROW_WIDTHS]
        self._cuts = torch.stack([_cut(look) for look in (*usual, *cuts)])
        self._atlases = [_bake(painter, look) for look in (*usual, *cuts)]

    def paint(
        self, ndc: Tensor, turned: Tensor, size: int, look: Appearance, light: Light, tint: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Paint one head.

        Args:
            ndc: (V, 3) image space with the depth in metres as third. turned: (V, 3) metres, the posed head.
            size: S, pixels a side. look: Its colours; of the baked cuts the nearest is taken. light: What falls on it.
            tint: (V, 3) what colours are multiplied by.

        Returns:
            Colour times cover (3, S, S) and cover (1, S, S), both in [0, 1].
        """
        fragments = rasterize(ndc[None], self._faces, size, w=ndc[None, :, 2])
        wave = (self.head.v_template @ look.mottle[:, :3].T * 60 + look.mottle[:, 3]).sin().sum(1, keepdim=True)
        normals = vertex_normals(turned, self.head.faces)
        attributes = [normals, wave] if tint is None else [normals, wave, tint]
        pixel, values = interpolate_covered(fragments, torch.cat(attributes, dim=1)[None], self._faces)
        cut = int((self._cuts - _cut(look)).square().sum(1).argmin())
        layers = self._atlases[cut].index_select(0, texel_index(fragments, pixel))
        palette = _palette(look)
        mottle = layers[:, :1] * (look.mottle_strength * values[:, 3:4]) * palette[0]
        color = layers[:, : len(palette)] @ palette + mottle
        if tint is not None:
            color = color * values[:, 4:]
        lit = procedural_face.lit(color, values[:, :3], light, layers[:, len(palette) :]).clamp_(0, 1)
        image = to_image(fragments, pixel, torch.cat([lit, torch.ones_like(lit[:, :1])], dim=1))
        return image[0].permute(2, 0, 1).split([3, 1])  # type: ignore[return-value]


def _cut(look: Appearance) -> Tensor:
    """Return what is baked of a look, (5,), in about the same units."""
    return torch.tensor(
        [look.brow_width, 200 * look.brow_lift_m, 5 * look.brow_tilt, 3 * look.iris_scale, 2 * look.lip_edge]
    )


def _bake(painter: ProceduralFaceRenderer, cut: Appearance) -> Tensor:
    """Return (F·SQUARES², 17): opacities of the seven paints, the colours that never change, and the marks.

    A painter's colours are linear in its paints, so each paint's opacity is what it alone adds.
    """
    attributes = torch.cat([painter.rest, painter.marks], dim=1)
    values = torch.einsum("tk,fkc->ftc", texel_centers(), attributes[painter.head.faces]).reshape(
        -1, 3 + len(REGION_CHANNELS)
    )
    rest = values[:, :3]
    marks: dict[str, Tensor] = dict(zip(REGION_CHANNELS, values[:, 3:].unbind(1)))

    plain = replace(cut, brow_strength=1.0, lip_strength=1.0)

    def albedo(**paints: tuple[float, float, float]) -> Tensor:
        look = replace(plain, **{name: paints.get(name, (0.0, 0.0, 0.0)) for name in _PAINTS})
        return painter.albedo(rest, marks, look)

    fixed = albedo()
    red, green, blue = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
    three = albedo(skin=red, lips=green, brows=blue) - fixed
    three_more = albedo(iris=red, sclera=green, hair=blue) - fixed
    teeth = (albedo(teeth=red) - fixed)[:, :1]
    return torch.cat([three, three_more, teeth, fixed, values[:, 3:]], dim=1)


def _palette(look: Appearance) -> Tensor:
    """Return (10, 3): the colours of the paints, thin ones with plain skin below, and of what is fixed."""
    colors = {name: torch.tensor(getattr(look, name)) for name in _PAINTS}
    for name, strength in (("lips", look.lip_strength), ("brows", look.brow_strength), ("hair", look.hair_strength)):
        colors[name] = colors["skin"] + strength * (colors[name] - colors["skin"])
    return torch.cat([torch.stack([colors[name] for name in _PAINTS]), torch.eye(3)])
