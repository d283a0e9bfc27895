"""Textures of the parts of a head that have their own: eyeballs and teeth."""

from __future__ import annotations

import numpy as np

from smirk3d.head.memoize import cache_per_head
from smirk3d.head.model import HeadModel
from smirk3d.render.appearance.face_appearance import FaceAppearance
from smirk3d.render.appearance.materials import eye_texture, eye_uv, iris_texture, material_parts, region_vertices
from smirk3d.render.appearance.teeth import teeth_texture, teeth_uv

TEXTURED_PARTS = ("eyes", "teeth")
"""Names of `material_parts` with texture coordinates of their own."""


@cache_per_head
def part_uv(head: HeadModel) -> np.ndarray:
    """Return the texture coordinates of `TEXTURED_PARTS`.

    Args:
        head: The head.

    Returns:
        (V, 2) float32 in [0, 1], v upwards, read-only: `teeth_uv` on teeth, `eye_uv` elsewhere.
    """
    is_teeth = region_vertices(head, "upper_teeth") | region_vertices(head, "lower_teeth")
    uv = np.where(is_teeth[:, None], teeth_uv(head), eye_uv(head))
    uv.setflags(write=False)
    return uv


def part_images(head: HeadModel, appearance: FaceAppearance | None) -> dict[str, np.ndarray]:
    """Return the textures of the `TEXTURED_PARTS` that a head has.

    Args:
        head: The head.
        appearance: What it wears; None for default irises.

    Returns:
        (H, W, 3) uint8 sRGB by the name of the part.
    """
    names = {part.name for part in material_parts(head)}
    eyes = eye_texture() if appearance is None else iris_texture(appearance.iris)
    images = {"eyes": eyes, "teeth": teeth_texture()}
    return {name: images[name] for name in TEXTURED_PARTS if name in names}
