"""Moves the face in a photo to another expression: the photo's own pixels are the texture of the fitted mesh.

Every pixel of the changed picture shows a point of the changed mesh, whose colour is read where the fitted mesh has
this point in the photo. Beyond the mesh the displacement fades out. What the photo does not show well, behind lids and
lips above all, comes from the appearance model under the photo's light.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from smirk3d.head.model import HeadModel
from smirk3d.render.appearance.texel_grid import texel_index
from smirk3d.render.fragments import interpolate, to_image
from smirk3d.render.photo_warp.image_fields import blur, extended, pixel_grid, rise
from smirk3d.render.photo_warp.mesh_parts import AROUND, openness, part_of_triangles, stretch_of_triangles
from smirk3d.render.photo_warp.mouth_interior import mouth_colors
from smirk3d.render.photo_warp.placed_mesh import PlacedMesh
from smirk3d.render.photo_warp.skin_light import SkinLight, lit_appearance
from smirk3d.render.rasterize import rasterize

DEPTH_BIAS_M = 0.004
"""A point this much behind the visible surface of the photo still counts as visible."""
FACING = (0.10, 0.35)
"""Component of the normal towards the camera at which trust in a point rises from 0 to 1."""
STRETCH = (0.10, 0.30)
"""Area in the photo over area in the changed picture at which trust in a triangle rises from 0 to 1."""


def warp_photo(
    photo: Tensor, head: HeadModel, fitted: PlacedMesh, changed: PlacedMesh, texels: Tensor, size: int
) -> Tensor:
    """Render the changed mesh with the photo's pixels over the photo.

    Args:
        photo: (3, P, P) in [0, 1], the crop.
        head: The head.
        fitted: The mesh as the photo shows it.
        changed: The mesh with another expression.
        texels: (F T², 3) in [0, 1], the appearance model's colours, see `AppearanceTexels`.
        size: S, side of the result in pixels.

    Returns:
        (3, S, S) in [0, 1].
    """
    faces = head.faces.to(torch.int32)
    fragments = rasterize(changed.ndc[None], faces, size)
    covered = fragments.mask[0]
    attributes = torch.cat([fitted.ndc, fitted.normals, changed.normals], dim=1)
    source, normal_before, normal = interpolate(fragments, attributes[None], faces)[0].split(3, dim=2)
    part = part_of_triangles(head)[fragments.face_index[0].clamp_min(0).long()]
    stretch = rise(stretch_of_triangles(head, fitted, changed), STRETCH)[fragments.face_index[0].clamp_min(0).long()]
    visible = _is_visible(head, fitted, source, part, size)
    # Around the face, and where it turns away, the photo goes on.
    is_inner = (part != AROUND) * rise(normal[..., 2], FACING)
    trust = 1 - (1 - visible * stretch * rise(normal_before[..., 2], FACING)) * is_inner * covered
    pixel = covered.flatten().nonzero()[:, 0]
    shown = texels[texel_index(fragments, pixel)] * openness(changed, part.flatten()[pixel])[:, None]
    albedo = to_image(fragments, pixel, shown)[0].permute(2, 0, 1)
    albedo = mouth_colors(head, changed, fragments, torch.where(covered, part, AROUND), albedo)
    displacement = extended(source[..., :2] - pixel_grid(size), covered)
    warped = functional.grid_sample(
        photo[None], (pixel_grid(size) + displacement)[None], padding_mode="border", align_corners=False
    )[0]
    light = SkinLight.fit(warped, normal_before, trust * is_inner * covered)
    relit = warped * blur(light.ratio(normal_before, normal) * covered + ~covered, 0.02)[None]
    filled = lit_appearance(warped, albedo, trust * is_inner * covered, light.shading(normal), part)
    soft = torch.where(covered, blur(trust, 0.006).minimum(trust + 0.3), 1.0)
    return (relit * soft + filled * (1 - soft)).clamp(0, 1)


def _is_visible(head: HeadModel, fitted: PlacedMesh, source: Tensor, part: Tensor, size: int) -> Tensor:
    """Return whether the photo shows each pixel's point, (S, S) bool."""
    seen = rasterize(fitted.ndc[None], head.faces.to(torch.int32), 2 * size)
    depth = torch.where(seen.mask, seen.depth, 1.0)[0]
    shown = torch.where(seen.mask[0], part_of_triangles(head)[seen.face_index[0].clamp_min(0).long()], AROUND)
    front, front_part = functional.grid_sample(
        torch.stack([depth, shown.float()])[None], source[None, ..., :2], mode="nearest", align_corners=False
    )[0]
    # Eyeballs are so close behind the lids, and lips to teeth, that the part tells more than the depth.
    return (front_part == part) & (source[..., 2] < front + DEPTH_BIAS_M)
