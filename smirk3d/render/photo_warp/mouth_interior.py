"""Light and shade inside an open mouth, single teeth, and gums.

The colours of the appearance model get darker with depth. Lips shade what lies behind them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from smirk3d.head.landmark_indices import OUTER_EYE_CORNERS
from smirk3d.head.memoize import cache_per_head
from smirk3d.head.model import HeadModel
from smirk3d.render.appearance.materials import vertex_colors
from smirk3d.render.appearance.teeth import teeth_color_at, teeth_uv
from smirk3d.render.fragments import Fragments
from smirk3d.render.photo_warp.image_fields import blur
from smirk3d.render.photo_warp.mesh_parts import MOUTH
from smirk3d.render.photo_warp.placed_mesh import PlacedMesh

SHADE_NDC = 0.016
"""Width of the shade of the lips, half sides of the region."""
_LIPS = (13, 14)
OPEN_GAP = (0.04, 0.09)
"""Gaps of the lips in the photo, over the distance of the outer eye corners, between which trust rises from 0 to 1."""
TONGUE_TINT = (0.74, 0.68, 0.68)
"""Factors on the colour of the tongue, which is moist and lies in the shade."""
TONGUE_DEPTH_M = 0.06
"""Distance behind the upper front teeth over which the tongue gets darker by e: the model's is half way out."""


def mouth_colors(
    head: HeadModel, mesh: PlacedMesh, fragments: Fragments, part: Tensor, colors: Tensor, blur_px: float = 1.0
) -> Tensor:
    """Return colours (3, S, S) of the appearance with those of the mouth shaded.

    Args:
        head: The head.
        mesh: The mesh that is shown.
        fragments: What the pixels show.
        part: (S, S) their parts.
        colors: (3, S, S) colours of the appearance.
        blur_px: Blur of the edges between teeth, tongue and throat, standard deviation in pixels.
    """
    inside = part == MOUTH
    if not bool(inside.any()):
        return colors
    uv, plain, teeth, tongue, behind = _interpolated(head, mesh, fragments, inside).split([2, 1, 1, 1, 1], dim=1)
    shown = colors[:, inside].T
    light = shown[:, 1:2] / plain.clamp_min(0.02)
    shown = torch.where(teeth > 0.5, teeth_color_at(uv) * light, shown)
    tint = torch.tensor(TONGUE_TINT) * (-behind.clamp_min(0) / TONGUE_DEPTH_M).exp()
    shown = shown * torch.where(tongue > 0.5, tint, 1.0)
    result = colors.clone()
    shade = _lip_shade(inside)[inside][:, None]
    shade = torch.where(teeth > 0.5, shade.sqrt(), shade)  # teeth are moist and just behind the lips
    result[:, inside] = (shown * shade).T
    # Edges between teeth, tongue and throat are no sharper than photos are.
    sigma = blur_px / len(part)
    soft = blur(result * inside, sigma) / blur(inside.float(), sigma).clamp_min(0.05)
    return torch.where(inside, soft, result)


def mouth_trust(fitted: PlacedMesh) -> float:
    """Return how well the photo shows the inside of the mouth, in [0, 1]: not at all between lips that nearly meet."""
    points = fitted.landmarks_ndc
    gap, eyes = (float(points[list(pair)].diff(dim=0).norm()) for pair in (_LIPS, OUTER_EYE_CORNERS))
    low, high = OPEN_GAP
    return min(max((gap / max(eyes, 1e-6) - low) / (high - low), 0.0), 1.0)


@cache_per_head
def upper_teeth(head: HeadModel) -> Tensor:
    """Return which triangles are of the upper teeth, (F,) bool: of an open mouth they alone move with the photo."""
    return head.region_mask("upper_teeth")[head.faces].any(1)


def _interpolated(head: HeadModel, mesh: PlacedMesh, fragments: Fragments, inside: Tensor) -> Tensor:
    """Return `_mouth_attributes` of the N pixels inside and their depth behind the front teeth in metres, (N, 6)."""
    fixed = _mouth_attributes(head)
    front = (head.v_template[:, 2] * head.region_mask("upper_teeth")).argmax()
    attributes = torch.cat([fixed, (mesh.ndc[:, 2] - mesh.ndc[front, 2])[:, None]], dim=1)
    corners = attributes[head.faces[fragments.face_index[0][inside].long()].long()]
    return (fragments.barycentric[0][inside][..., None] * corners).sum(1)


@cache_per_head
def _mouth_attributes(head: HeadModel) -> Tensor:
    """Return `teeth_uv`, plain green, and whether it is of teeth or of the tongue, for each vertex, (V, 5)."""
    upper, lower, tongue = (
        head.region_mask(name).float()[:, None] for name in ("upper_teeth", "lower_teeth", "tongue")
    )
    uv, green = torch.tensor(teeth_uv(head)), torch.tensor(vertex_colors(head))[:, 1:2]
    return torch.cat([uv, green, upper + lower, tongue], dim=1)


def _lip_shade(inside: Tensor) -> Tensor:
    """Return factors (S, S) that darken a mouth towards its edges, most below the upper lip."""
    size = len(inside)
    open_ = blur(inside.float(), SHADE_NDC / 2)
    shift = max(1, round(SHADE_NDC / 2 * size))
    above = torch.cat([torch.zeros(shift, size), open_[:-shift]])
    return 0.3 + 0.7 * ((0.4 * open_ + 0.6 * above - 0.1) / 0.75).clamp(0, 1)
