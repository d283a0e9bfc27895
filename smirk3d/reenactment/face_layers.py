"""What a moved face shows at each pixel: where the photo has this point, and the model where the photo has it not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from smirk3d.head.memoize import cache_per_head
from smirk3d.head.model import HeadModel
from smirk3d.reenactment.eyelids import LidChange, lash_line, lid_weights
from smirk3d.reenactment.further_photos import fill_from_photos
from smirk3d.reenactment.mouth_interior import mouth_colors, mouth_trust, upper_teeth
from smirk3d.reenactment.source_photo import SourcePhoto, lip_triangles, shown_texels
from smirk3d.render.fragments import interpolate
from smirk3d.render.photo_warp.image_fields import blur, continued, pixel_grid, rise
from smirk3d.render.photo_warp.mesh_parts import AROUND, EYE, FACE, MOUTH, part_of_triangles, stretch_of_triangles
from smirk3d.render.photo_warp.placed_mesh import PlacedMesh
from smirk3d.render.photo_warp.warped_photo import DEPTH_BIAS_M, FACING, STRETCH
from smirk3d.render.rasterize import rasterize

STILL_PX = (0.25, 1.5)
"""Displacement, pixels, at which a point that the photo shows in place begins to need trust, and fully does."""
OUTLINE = 0.15
"""Where normals turn away from the camera more than this, the mesh is too near its outline to determine the motion."""
EDGE_NDC = 0.03
"""Width of the edge of the mesh along which its motion goes over to that of its surroundings, half sides."""
SMOOTH_SIZE = 128
"""Side in samples of the smooth motion around the mesh."""
NECK_M = -0.095
"""Height in the head frame above which the neck's skin goes smoothly with the chin; below, it has its own motion."""
_OTHER, _INNER, _NECK, _NECK_END = range(4)
_INNER_REGIONS = ("lips", "mouth_interior", "eye_regions", "eye_sockets", "nose")
LASH_COLOR = (0.13, 0.10, 0.09)
BORDER_NDC = 0.12
"""Width of the border of the region over which everything comes to rest, half sides."""


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
    faces = head.faces.to(torch.int32)
    fragments = rasterize(changed.ndc[None], faces, size)
    covered, triangle = fragments.mask[0], fragments.face_index[0].clamp_min(0).long()
    lids = LidChange.between(fitted, changed)
    attributes = torch.cat([fitted.ndc, fitted.normals, changed.normals, lid_weights(head, lids)[:, None]], dim=1)
    at, normal_before, normal, lid = interpolate(fragments, attributes[None], faces)[0].split((3, 3, 3, 1), dim=2)
    part = torch.where(covered, part_of_triangles(head)[triangle], AROUND)
    moved = torch.where(covered[..., None], at[..., :2] - pixel_grid(size), 0.0)
    moved = _without_jags(moved, (part == FACE) & ~lid_triangles(head)[triangle])
    is_mouth = (part == MOUTH) | lip_triangles(head)[triangle]
    facing = torch.where(is_mouth, 1.0, rise(normal_before[..., 2], FACING))
    in_photo = is_seen(source, at, part)
    stretch = rise(stretch_of_triangles(head, fitted, changed), STRETCH)[triangle]
    seen = in_photo * stretch * facing * (1 - lid[..., 0])
    seen = seen * source.at(at)[2] * torch.where(part == MOUTH, upper_teeth(head)[triangle] * mouth_trust(fitted), 1.0)
    # A point that has not moved keeps the photo's colour, whatever the mesh has there.
    still = 1 - rise(moved.norm(dim=2) * (size / 2), STILL_PX)
    seen = seen.maximum(still * (source.front[1] == part) * (1 - lid[..., 0]))
    # Around the face, and where cheeks and chin turn away, the photo goes on.
    turned_to_us = torch.where(is_mouth, 1.0, rise(normal[..., 2], FACING))
    inner = (part != AROUND) * turned_to_us
    trust = torch.where(covered, 1 - (1 - seen) * inner, 1.0)
    share = torch.where(covered, blur(trust, 1.0 / size).minimum(trust + 0.5), 1.0)
    displacement = _smooth_displacement(
        source, moved, covered & (normal.minimum(normal_before)[..., 2] > OUTLINE) & in_photo, triangle, part
    )
    albedo = mouth_colors(head, changed, fragments, part, shown_texels(fragments, source.texels, part))
    shading, level = source.light.shading(normal), moved_level(source, displacement, part)
    fill = lit_fill(source, albedo, shading, level)
    if further:
        fill = fill_from_photos(fill, level + shading.log(), further, changed, fragments, part)
    gain = blur(torch.where(covered, source.light.ratio(normal_before, normal), 1.0), 0.02)
    return _with_lashes(source, FaceLayers(displacement, gain, share, fill), lash_line(lids, changed, part))


@cache_per_head
def lid_triangles(head: HeadModel) -> Tensor:
    """Return which triangles are of the lids, whose edges are thinner than a blur, (F,) bool."""
    return head.region_mask("eyes")[head.faces].any(1)


def _without_jags(moved: Tensor, is_skin: Tensor) -> Tensor:
    """Return a displacement (S, S, 2) whose jumps on skin (S, S), as where a lip overhangs, are as soft as photos."""
    skin, sigma = is_skin.float(), 1.2 / len(moved)
    around = blur(skin, sigma).clamp_min(0.05)[..., None]
    soft = blur((moved * skin[..., None]).permute(2, 0, 1).contiguous(), sigma).permute(1, 2, 0) / around
    return torch.where(is_skin[..., None], soft, moved)


def _smooth_displacement(
    source: SourcePhoto, moved: Tensor, faces_us: Tensor, triangle: Tensor, part: Tensor
) -> Tensor:
    """Return the displacement (S, S, 2) of the whole region.

    Where the mesh turns away, as below the chin, and beyond it, the motion of what is near goes on and fades out.
    """
    head, size = source.face.head, source.region.size
    kind = outline_kinds(head)[triangle]
    near_face = blur((part == FACE).float(), EDGE_NDC / 3) > 0.02
    around = faces_us & (kind != _NECK) & ~((kind == _NECK_END) & near_face)
    is_known = torch.where(part == AROUND, around, faces_us | (kind == _INNER))
    smooth = _smooth(moved, is_known)
    weight = rise(blur(is_known.float(), EDGE_NDC / 2), (0.5, 0.9))[..., None]
    return (smooth + (moved - smooth) * weight * is_known[..., None]) * rest_at_border(size)[..., None]


def _smooth(moved: Tensor, is_known: Tensor) -> Tensor:
    """Return the smooth displacement (S, S, 2) that continues the known one."""
    import cv2

    size = len(moved)
    small = min(size, SMOOTH_SIZE)
    known = is_known.float()
    share = cv2.resize(known.numpy(), (small, small), interpolation=cv2.INTER_AREA)
    total = cv2.resize((moved * known[..., None]).numpy(), (small, small), interpolation=cv2.INTER_AREA)
    mean = torch.from_numpy(total / np.maximum(share, 1e-6)[..., None])
    field = continued(mean, torch.from_numpy(share)).contiguous().numpy()
    return torch.from_numpy(cv2.resize(field, (size, size), interpolation=cv2.INTER_LINEAR))


@cache_per_head
def outline_kinds(head: HeadModel) -> Tensor:
    """Return for each triangle `_INNER` for eyes, nose and mouth, `_NECK`, its lower `_NECK_END`, or `_OTHER`, (F,)."""
    inner = torch.stack([head.region_mask(name) for name in _INNER_REGIONS]).any(0)
    kinds = torch.full((len(head.faces),), _OTHER)
    kinds[inner[head.faces].any(1)] = _INNER
    neck = head.region_mask("neck")
    kinds[neck[head.faces].all(1)] = _NECK_END
    kinds[(neck & (head.v_template[:, 1] > NECK_M))[head.faces].any(1)] = _NECK
    return kinds


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
    return torch.where(part < EYE, level, level.mean(0, keepdim=True))  # teeth do not have the skin's tint


def rest_at_border(size: int) -> Tensor:
    """Return factors (S, S) that fall to 0 at the border of the region."""
    line = rise(1 - pixel_grid(size)[0, :, 0].abs(), (0.0, BORDER_NDC))
    line = line * line * (3 - 2 * line)
    return line[:, None] * line[None, :]
