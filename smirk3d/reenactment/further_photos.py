"""What one photo of a person hides, from the pixels of the others."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from smirk3d.reenactment.eyelids import LidChange, lid_weights
from smirk3d.reenactment.lip_margin import lip_triangles
from smirk3d.reenactment.source_photo import SourcePhoto
from smirk3d.render.fragments import Fragments, interpolate
from smirk3d.render.photo_warp.image_fields import blur, rise
from smirk3d.render.photo_warp.mesh_parts import AROUND, EYE, MOUTH, stretch_of_triangles
from smirk3d.render.photo_warp.mouth_interior import mouth_trust, upper_teeth
from smirk3d.render.photo_warp.placed_mesh import PlacedMesh
from smirk3d.render.photo_warp.warped_photo import DEPTH_BIAS_M, FACING, STRETCH

LARGEST_GAIN = 1.6
"""Largest factor, and smallest as its inverse, by which a photo's colours are brought to those of another one."""
EDGE_PX = 1.5
"""Softness of the borders between photos, samples."""


def fill_from_photos(
    fill: Tensor,
    tone: Tensor,
    photos: Sequence[SourcePhoto],
    changed: PlacedMesh,
    fragments: Fragments,
    part: Tensor,
) -> Tensor:
    """Return the fill of a moved face with the pixels of further photos where these show the points.

    Args:
        fill: (3, S, S) in [0, 1], the appearance model under the light of the first photo.
        tone: (3, S, S) logarithm of this light and of the photo's colours, over those of the model.
        photos: The further photos, all of the same head.
        changed: The moved mesh.
        fragments: What its pixels show.
        part: (S, S) their parts.
    """
    total, best = torch.zeros_like(fill), torch.zeros_like(fill[0])
    weights = torch.full_like(best, 1e-6)
    for photo in photos:
        shown, trust = _shown(photo, changed, fragments, part, tone)
        total, weights = total + trust * shown, weights + trust
        best = best.maximum(trust)
    share = blur(best, EDGE_PX / len(part)).minimum(best)
    return fill + share * (total / weights - fill)


def _shown(
    photo: SourcePhoto, changed: PlacedMesh, fragments: Fragments, part: Tensor, tone: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the colours (3, S, S) of a photo at the points of a moved face, and how far to trust them, (S, S)."""
    head, fitted = photo.face.head, photo.fitted
    lids = lid_weights(head, LidChange.between(fitted, changed))
    attributes = torch.cat([fitted.ndc, fitted.normals, lids[:, None]], dim=1)
    at, normal, lid = interpolate(fragments, attributes[None], head.faces.to(torch.int32))[0].split((3, 3, 1), dim=2)
    depth, front_part, plausible = photo.at(at)
    triangle = fragments.face_index[0].clamp_min(0).long()
    is_mouth = (part == MOUTH) | lip_triangles(head)[triangle]
    facing = torch.where(is_mouth, 1.0, rise(normal[..., 2], FACING))
    stretch = rise(stretch_of_triangles(head, fitted, changed), STRETCH)[triangle]
    seen = (front_part == part) & (at[..., 2] < depth + DEPTH_BIAS_M) & (part != AROUND) & fragments.mask[0]
    mouth = torch.where(part == MOUTH, upper_teeth(head)[triangle] * mouth_trust(fitted), 1.0)
    inside = (at[..., :2].abs() < 1).all(2)
    trust = seen * inside * facing * stretch * plausible * mouth * (1 - lid[..., 0])
    return _in_tone(photo, at, normal, part, tone), trust


def _in_tone(photo: SourcePhoto, at: Tensor, normal: Tensor, part: Tensor, tone: Tensor) -> Tensor:
    """Return the colours (3, S, S) of a photo at points, in the light of the first photo."""
    grid = at[None, ..., :2]
    shown = functional.grid_sample(photo.cut[None], grid, padding_mode="border", align_corners=False)[0]
    level = functional.grid_sample(photo.level[None], grid, padding_mode="border", align_corners=False)[0]
    own = level + photo.light.shading(normal).log()
    gain = torch.where(part < EYE, tone - own, (tone - own).mean(0, keepdim=True)).exp()
    return (shown * gain.clamp(1 / LARGEST_GAIN, LARGEST_GAIN)).clamp(0, 1)
