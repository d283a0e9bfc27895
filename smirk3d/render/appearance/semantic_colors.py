"""Semantic colours of a head, as input of the neural renderer.

A grey face shows no gaze, and hardly where the lips end. Of a head with eyeballs, teeth and tongue, such as the open
head, these are rendered too, and irises, brows and lips get colours of their own. Other heads, FLAME among them, are
rendered as in SMIRK's released networks: the face alone, in grey.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from smirk3d.head.landmark_indices import POINT_COUNT
from smirk3d.head.memoize import cache_per_head
from smirk3d.head.model import HeadModel
from smirk3d.render.appearance.procedural_face import REGION_CHANNELS, Appearance, ProceduralFaceRenderer
from smirk3d.render.appearance.texel_grid import texel_centers, texel_index
from smirk3d.render.fragments import Fragments

INTERIOR_REGIONS = ("eyeballs", "eye_sockets", "mouth_interior")
"""Regions that are visible between the eyelids and between the lips."""
WHITE = (1.0, 1.0, 1.0)
# Saturated colours, far from each other, that multiply the grey shading; skin and hair stay grey.
SEMANTIC_APPEARANCE = Appearance(
    skin=WHITE,
    hair=WHITE,
    lips=(1.0, 0.35, 0.35),
    brows=(0.3, 0.3, 0.3),
    iris=(0.1, 0.2, 0.8),
    sclera=(0.6, 1.0, 1.0),
    teeth=(1.0, 1.0, 0.5),
    brow_strength=1.0,
    lip_strength=1.0,
)
TONGUE_COLOR = (0.3, 1.0, 0.3)


@dataclass(frozen=True, eq=False)
class SemanticColors:
    """The rendered triangles of a head and their colours.

    Attributes:
        faces: (K, 3) int64, the triangles.
        colors: (K·T², 3) float in [0, 1], factor on the grey of each texel, see `texel_grid`; None for grey heads.
    """

    faces: Tensor
    colors: Tensor | None

    def region_faces(self, name: str) -> Tensor:
        """Return the triangles (K, 3) int64, whatever the name; makes this a `DrawableHead` for a `Renderer`."""
        return self.faces

    def apply(self, fragments: Fragments, grey: Tensor) -> Tensor:
        """Colour a shaded image of these triangles.

        Args:
            fragments: The visible surface, B images.
            grey: (B, 3, H, W) float in [0, 1], the shaded image.

        Returns:
            (B, 3, H, W) float in [0, 1], differentiable in the grey only.
        """
        if self.colors is None:
            return grey
        pixel = fragments.mask.reshape(-1).nonzero()[:, 0]
        shape = (*fragments.mask.shape, 3)
        factor = grey.new_zeros(shape).reshape(-1, 3)
        factor[pixel] = self.colors.to(grey).index_select(0, texel_index(fragments, pixel))
        return grey * factor.reshape(shape).movedim(-1, 1)


@cache_per_head
def semantic_colors(head: HeadModel) -> SemanticColors:
    """Return the rendered triangles of a head and their colours; computed once for each head.

    Args:
        head: Any head; without interior regions or MediaPipe landmarks it stays grey.
    """
    if not _has_interior(head):
        return SemanticColors(head.region_faces("face"), None)
    is_rendered = torch.stack([head.region_mask(name) for name in ("face", *INTERIOR_REGIONS)]).any(0)
    faces = head.faces[is_rendered[head.faces].all(dim=1)]
    device = faces.device
    renderer = ProceduralFaceRenderer(head)
    attributes = torch.cat([renderer.neutral, renderer.region_weights.to(device)], dim=1)
    values = torch.einsum("tk,fkc->ftc", texel_centers().to(device), attributes[faces]).reshape(
        -1, 3 + len(REGION_CHANNELS)
    )
    weights: dict[str, Tensor] = dict(zip(REGION_CHANNELS, values[:, 3:].unbind(1)))
    colors = renderer.albedo(values[:, :3], weights, SEMANTIC_APPEARANCE)
    colors[weights["tongue"] > 0.5] = colors.new_tensor(TONGUE_COLOR)
    return SemanticColors(faces, colors)


def _has_interior(head: HeadModel) -> bool:
    """Return whether a head has the interior regions, and the landmarks that place the brows."""
    landmarks = head.data.landmarks.get("mediapipe")
    return (
        all(name in head.data.regions for name in INTERIOR_REGIONS)
        and landmarks is not None
        and len(landmarks.barycentric) == POINT_COUNT
    )
