"""What a moved face shows at each pixel: where the photo has this point, and the model where the photo has it not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from smirk3d.head.model import HeadModel
from smirk3d.reenactment.displacement import (
    ShownPoints,
    continued_over_edges,
    mesh_displacement,
    smooth_displacement,
    torn_seam,
)
from smirk3d.reenactment.eyelids import LidChange, lash_line, lid_weights, skin_between_lids
from smirk3d.reenactment.further_photos import fill_from_photos
from smirk3d.reenactment.lip_margin import lip_margin, lip_triangles, with_lip_line
from smirk3d.reenactment.source_photo import SourcePhoto, shown_texels
from smirk3d.reenactment.tone_around import with_tone_around
from smirk3d.render.fragments import Fragments, interpolate
from smirk3d.render.photo_warp.image_fields import blur, pixel_grid, rise
from smirk3d.render.photo_warp.mesh_parts import AROUND, EYE, FACE, MOUTH, part_of_triangles, stretch_of_triangles
from smirk3d.render.photo_warp.mouth_interior import mouth_colors, mouth_trust, upper_teeth
from smirk3d.render.photo_warp.placed_mesh import PlacedMesh
from smirk3d.render.photo_warp.skin_light import MOUTH_LIGHT
from smirk3d.render.photo_warp.warped_photo import DEPTH_BIAS_M, FACING, STRETCH
from smirk3d.render.rasterize import rasterize

STILL_PX = (0.25, 1.5)
"""Displacement, pixels, at which a point that the photo shows in place begins to need trust, and fully does."""
LASH_COLOR = (0.13, 0.10, 0.09)
GAIN_BLUR = 0.002
"""Blur of the change of the light, over the side of the region: cheeks and folds are to be seen, triangles not."""


@dataclass(frozen=True, eq=False)
class FaceLayers:
    """Layers of a moved face over a region; see `smirk3d.reenactment.composition` for how they become a picture.

    Attributes:
        displacement: (S, S, 2) from each pixel to where the photo shows its point, half sides of the region.
        gain: (S, S) change of the light on the photo's skin.
        photo_share: (S, S) in [0, 1], how much of the photo shows; the rest is the fill.
        fill: (3, S, S) in [0, 1], the appearance model under the photo's light.
    """

    displacement: Tensor
    gain: Tensor
    photo_share: Tensor
    fill: Tensor


def face_layers(source: SourcePhoto, changed: PlacedMesh, further: Sequence[SourcePhoto] = ()) -> FaceLayers:
    """Compute the layers of a photo whose mesh is moved.

    Args:
        source: The photo.
        changed: The mesh with another expression or rotation.
        further: Further photos of the same head; where the first one hides something, they show it.
    """
    head, size, fitted = source.face.head, source.region.size, source.fitted
    fragments = rasterize(changed.ndc[None], head.faces.to(torch.int32), size)
    lids = LidChange.between(fitted, changed)
    points, lid = _shown_points(source, changed, fragments, lids)
    in_photo, part = is_seen(source, points.at, points.part), points.part
    moved = mesh_displacement(source, changed, points)
    seen = _seen_well(source, changed, points, moved, in_photo, lid)
    seen = seen * ~torn_seam(source, changed, points)
    moved = continued_over_edges(moved, seen, part)
    displacement = smooth_displacement(source, points, moved, in_photo)
    softness = max(source.blur_px, 1.0)
    share = _photo_share(head, points, seen, softness / size)
    albedo = mouth_colors(head, changed, fragments, part, shown_texels(fragments, source.texels, part), softness)
    shading, level = source.light.shading(points.normal), moved_level(source, displacement, part)
    level = torch.where(part == MOUTH, level.minimum((MOUTH_LIGHT / shading).log()), level)
    fill = with_lip_line(lit_fill(source, albedo, shading, level), head, changed, fragments, part)
    fill = skin_between_lids(fill, lid, part)
    fill = with_tone_around(fill, source, displacement, lid, share * (part == FACE))
    if further:
        fill = fill_from_photos(fill, level + shading.log(), further, changed, fragments, part)
    ratio = source.light.ratio(points.normal_before, points.normal)
    gain = blur(torch.where(points.covered, ratio, 1.0), GAIN_BLUR)
    lashes = lash_line(lids, changed, size, source.blur_px)
    return _with_lashes(source, FaceLayers(displacement, gain, share, fill), lashes)


def _shown_points(
    source: SourcePhoto, changed: PlacedMesh, fragments: Fragments, lids: LidChange
) -> tuple[ShownPoints, Tensor]:
    """Return what pixels show, and by how much skin of the model replaces the photo at lids, (S, S) in [0, 1]."""
    head, fitted = source.face.head, source.fitted
    read_at = fitted.ndc.clone()
    read_at[:, :2] += lip_margin(head, fitted, changed, 2 * source.blur_px / source.region.size)
    attributes = torch.cat([read_at, fitted.normals, changed.normals, lid_weights(head, lids)[:, None]], dim=1)
    values = interpolate(fragments, attributes[None], head.faces.to(torch.int32))[0]
    at, normal_before, normal, lid = values.split((3, 3, 3, 1), dim=2)
    covered, triangle = fragments.mask[0], fragments.face_index[0].clamp_min(0).long()
    part = torch.where(covered, part_of_triangles(head)[triangle], AROUND)
    return ShownPoints(covered, triangle, part, at, normal_before, normal), lid[..., 0]


def _seen_well(
    source: SourcePhoto, changed: PlacedMesh, points: ShownPoints, moved: Tensor, in_photo: Tensor, lid: Tensor
) -> Tensor:
    """Return how well the photo shows the points, (S, S) in [0, 1]."""
    head, triangle, part = source.face.head, points.triangle, points.part
    facing = torch.where(_is_mouth(head, points), 1.0, rise(points.normal_before[..., 2], FACING))
    stretch = rise(stretch_of_triangles(head, source.fitted, changed), STRETCH)[triangle]
    teeth = torch.where(part == MOUTH, upper_teeth(head)[triangle] * mouth_trust(source.fitted), 1.0)
    seen = in_photo * stretch * facing * source.at(points.at)[2] * teeth
    # A point that has not moved keeps the photo's colour, whatever the mesh has there.
    still = 1 - rise(torch.hypot(*moved.unbind(2)) * (len(moved) / 2), STILL_PX)
    return seen.maximum(still * (source.front[1] == part)) * (1 - lid)


def _photo_share(head: HeadModel, points: ShownPoints, seen: Tensor, sigma: float) -> Tensor:
    """Return how much of the photo shows, (S, S) in [0, 1], with edges that are blurred by a share of the side."""
    # Around the face, and where cheeks and chin turn away, the photo goes on.
    turned_to_us = torch.where(_is_mouth(head, points), 1.0, rise(points.normal[..., 2], FACING))
    inner = (points.part != AROUND) * turned_to_us
    trust = torch.where(points.covered, 1 - (1 - seen) * inner, 1.0)
    return torch.where(points.covered, blur(trust, sigma).minimum(trust + 0.5), 1.0)


def _is_mouth(head: HeadModel, points: ShownPoints) -> Tensor:
    return (points.part == MOUTH) | lip_triangles(head)[points.triangle]


def _with_lashes(source: SourcePhoto, layers: FaceLayers, opacity: Tensor) -> FaceLayers:
    """Return layers with lines of lashes (S, S) over them."""
    share = layers.photo_share * (1 - opacity)
    color = torch.tensor(LASH_COLOR)[:, None, None] * source.level.exp().clamp_max(1.5)
    if source.is_grey:
        color = color.mean(0, keepdim=True).expand(3, -1, -1)
    own = layers.fill * ((1 - layers.photo_share) * (1 - opacity)) + color * opacity
    fill = torch.where(opacity > 0, own / (1 - share).clamp_min(1e-6), layers.fill)
    return FaceLayers(layers.displacement, layers.gain, share, fill)


def is_seen(source: SourcePhoto, at: Tensor, part: Tensor) -> Tensor:
    """Return whether the photo shows points, (S, S) bool.

    Args:
        source: The photo.
        at: (S, S, 3) where the fitted mesh has them, image space with depth in metres.
        part: (S, S) their parts.
    """
    depth, front_part, _ = source.at(at)
    # Eyeballs are so close behind the lids, and lips to teeth, that the part is more reliable than the depth.
    return (front_part == part) & (at[..., 2] < depth + DEPTH_BIAS_M)


def lit_fill(source: SourcePhoto, albedo: Tensor, shading: Tensor, level: Tensor) -> Tensor:
    """Return the appearance (3, S, S) in the colours and the light of the photo."""
    lit = albedo * shading
    if source.is_grey:
        lit = lit.mean(0, keepdim=True).expand(3, -1, -1)
    return (lit.clamp_min(0.02).log() + level).exp().clamp(0, 1)


def moved_level(source: SourcePhoto, displacement: Tensor, part: Tensor) -> Tensor:
    """Return `SourcePhoto.level` (3, S, S) at the points of a moved face."""
    at = (pixel_grid(source.region.size) + displacement)[None]
    level = functional.grid_sample(source.level[None], at, padding_mode="border", align_corners=False)[0]
    level = torch.where(part < EYE, level, level.mean(0, keepdim=True))  # teeth do not have the skin's tint
    return level + source.mouth_light * (part == MOUTH)
