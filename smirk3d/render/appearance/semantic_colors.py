"""What is drawn of a head for the neural renderer, and in which colours.

A grey face says nothing about gaze, and hardly where lips end. Of a head whose eyeballs, teeth and tongue are known,
as the open head's are, these are drawn too, and irises, brows and lips are painted. Other heads, FLAME among them,
are drawn as the released networks were trained to see them: the face alone, in grey.
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

BEHIND = ("eyeballs", "eye_sockets", "mouth_interior")
"""What is seen between lids and lips."""
SKIN = (1.0, 1.0, 1.0)
LOOK = Appearance(
    skin=SKIN, hair=SKIN, lips=(1.0, 0.35, 0.35), brows=(0.3, 0.3, 0.3), iris=(0.1, 0.2, 0.8), sclera=(0.6, 1.0, 1.0),
    teeth=(1.0, 1.0, 0.5), brow_strength=1.0, lip_strength=1.0,
)  # fmt: skip

TONGUE = (0.3, 1.0, 0.3)


@dataclass(frozen=True, eq=False)
class Makeup:
    """What is drawn of a head.

    Attributes:
        faces: (K, 3) int64, the triangles. colors: (K·SQUARES², 3) in [0, 1], what grey is multiplied by in each
            square; None for a head that stays grey.
    """

    faces: Tensor
    colors: Tensor | None

    def region_faces(self, name: str) -> Tensor:
        """Return the triangles, for a `Renderer`, which asks by the name of a region."""
        return self.faces

    def put_on(self, fragments: Fragments, grey: Tensor) -> Tensor:
        """Colour a shaded picture of these triangles.

        Args:
            fragments: The visible surface, B pictures. grey: (B, 3, H, W) in [0, 1].

        Returns:
            (B, 3, H, W) in [0, 1], differentiable in the grey only.
        """
        if self.colors is None:
            return grey
        pixel = fragments.mask.reshape(-1).nonzero()[:, 0]
        shape = (*fragments.mask.shape, 3)
        factor = grey.new_zeros(shape).reshape(-1, 3)
        factor[pixel] = self.colors.to(grey).index_select(0, texel_index(fragments, pixel))
        return grey * factor.reshape(shape).movedim(-1, 1)


@cache_per_head
def semantic_colors(head: HeadModel) -> Makeup:
    """Return what is drawn of a head, made once."""
    if not _is_known(head):
        return Makeup(head.region_faces("face"), None)
    drawn = torch.stack([head.region_mask(name) for name in ("face", *BEHIND)]).any(0)
    faces = head.faces[drawn[head.faces].all(dim=1)]
    device = faces.device
    painter = ProceduralFaceRenderer(head)
    attributes = torch.cat([painter.rest, painter.marks.to(device)], dim=1)
    values = torch.einsum("tk,fkc->ftc", texel_centers().to(device), attributes[faces]).reshape(
        -1, 3 + len(REGION_CHANNELS)
    )
    marks: dict[str, Tensor] = dict(zip(REGION_CHANNELS, values[:, 3:].unbind(1)))
    colors = painter.albedo(values[:, :3], marks, LOOK)
    colors[marks["tongue"] > 0.5] = colors.new_tensor(TONGUE)
    return Makeup(faces, colors)


def _is_known(head: HeadModel) -> bool:
    """Return whether a head has what is behind lids and lips, and the landmarks that say where brows are."""
    points = head.data.landmarks.get("mediapipe")
    return (
        all(name in head.data.regions for name in BEHIND)
        and points is not None
        and len(points.barycentric) == POINT_COUNT
    )
