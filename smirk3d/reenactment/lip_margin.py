"""Lips that close touch, and leave the rims behind at which the photo shows teeth.

Detected inner rims of open lips lie a little inside the mouth, and photos are blurred there. Where the lips close, what
lies along the rims would be a stripe of teeth: points of the rims are read farther out on the lips instead.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.landmark_indices import LIP_RIM_LOWER, LIP_RIM_UPPER, OUTER_EYE_CORNERS
from smirk3d.head.memoize import cache_per_head
from smirk3d.head.model import HeadModel
from smirk3d.render.fragments import Fragments
from smirk3d.render.photo_warp.image_fields import rise
from smirk3d.render.photo_warp.mesh_parts import FACE, MOUTH
from smirk3d.render.photo_warp.placed_mesh import PlacedMesh

_UPPER, _LOWER = list(LIP_RIM_UPPER), list(LIP_RIM_LOWER)
_NOSE_TIP, _CHIN = 1, 152
MARGIN = 0.03
"""Width of the stripe that is left behind, over the distance of the outer eye corners."""
LARGEST_SHARE = 0.45
"""Largest width over the gap of the lips."""
TOUCHING = 0.01
"""Gap of lips that touch, over the same distance: landmarks lie a little beside the seam."""
SLIT = (0.012, 0.03)
"""Gaps of the lips, over the same distance, between which a slit goes over from a dark line to what lies behind it."""
LINE_SHADE = 0.5
"""Brightness of the line between closed lips over that of the lips."""
REACH_M = 0.006
"""Distance from the rim over which points are drawn outwards, about the height of a lip."""
ALONG_M = 0.002
"""Distance along the rim over which one landmark's influence goes over to the next one's."""


@dataclass(frozen=True, eq=False)
class MovedLandmarks:
    """Landmarks of a mesh in a photo, image space.

    Attributes:
        plain_ndc: (478, 2) as fitted.
        moved_ndc: (478, 2) moved by their residuals.
    """

    plain_ndc: Tensor
    moved_ndc: Tensor


def with_closed_lips(head: HeadModel, placed: PlacedMesh, plain_ndc: Tensor, photo: MovedLandmarks) -> PlacedMesh:
    """Return a mesh whose lips touch where they touch on the head.

    What the residuals of the photo's landmarks add to the gap of the lips fades as the head's lips close.

    Args:
        head: The head.
        placed: The mesh, moved by the residuals.
        plain_ndc: (478, 2) its landmarks without residuals.
        photo: Landmarks of the mesh of the photo.
    """
    unit = _eye_distance(photo.plain_ndc)
    gap, left = _gaps(photo.plain_ndc), _gaps(plain_ndc)
    lengths = [each.norm(dim=1, keepdim=True) + TOUCHING * unit for each in (gap, left)]
    wanted = left + (lengths[1] / lengths[0]).clamp(0, 1) * (_gaps(photo.moved_ndc) - gap)
    ndc = placed.ndc.clone()
    ndc[:, :2] += _shares(head) @ (wanted - _gaps(placed.landmarks_ndc)) / 2
    landmarks = head.landmark_embedding("mediapipe").points(ndc[:, :2], head.faces)
    return PlacedMesh(ndc, placed.normals, landmarks)


def _eye_distance(landmarks_ndc: Tensor) -> Tensor:
    right, left = landmarks_ndc[list(OUTER_EYE_CORNERS)]
    return (right - left).norm()


def _gaps(landmarks_ndc: Tensor) -> Tensor:
    """Return from each landmark of the lower rim to the one above, (9, 2)."""
    return landmarks_ndc[_UPPER] - landmarks_ndc[_LOWER]


def lip_margin(head: HeadModel, fitted: PlacedMesh, changed: PlacedMesh, blur: float = 0.0) -> Tensor:
    """Return how much farther out on the lips than the fitted mesh tells points are to be read, (V, 2) image space.

    It is 0 where the lips are as far apart as in the photo, or farther.

    Args:
        head: The head.
        fitted: The mesh as the photo shows it.
        changed: The mesh with another expression.
        blur: Standard deviation of the blur of the photo's edges, image space.
    """
    unit = _eye_distance(fitted.landmarks_ndc)
    gap = (_gaps(fitted.landmarks_ndc) @ _upwards(fitted)).clamp_min(1e-6)
    width = ((MARGIN * unit + 2 * blur) / gap).clamp_max(LARGEST_SHARE) * closing_ndc(fitted, changed)
    return (_shares(head) @ width)[:, None] * _upwards(fitted)


def closing_ndc(fitted: PlacedMesh, changed: PlacedMesh) -> Tensor:
    """Return by how much the lips come nearer to each other than in the photo, (9,) image space, at least 0."""
    gap, left = ((_gaps(each.landmarks_ndc) @ _upwards(fitted)).clamp_min(0) for each in (fitted, changed))
    return (gap - left).clamp_min(0)


def _upwards(placed: PlacedMesh) -> Tensor:
    """Return the direction (2,) from the chin to the nose."""
    return functional.normalize(placed.landmarks_ndc[_NOSE_TIP] - placed.landmarks_ndc[_CHIN], dim=0)


def with_lip_line(fill: Tensor, head: HeadModel, changed: PlacedMesh, fragments: Fragments, part: Tensor) -> Tensor:
    """Return the fill (3, S, S) with a dark line for slits between closed lips, which would show bits of teeth.

    Args:
        fill: (3, S, S) in [0, 1], the lit appearance.
        head: The head.
        changed: The mesh that is shown.
        fragments: What the pixels show.
        part: (S, S) their parts.
    """
    points = changed.landmarks_ndc
    unit = _eye_distance(points)
    closed = 1 - rise(_gaps(points).norm(dim=1).max() / unit, SLIT)
    is_lip = (part == FACE) & lip_triangles(head)[fragments.face_index[0].clamp_min(0).long()]
    if not bool(closed > 0) or not bool(is_lip.any()):
        return fill
    line = LINE_SHADE * fill[:, is_lip].mean(1)
    return torch.where(part == MOUTH, closed * line[:, None, None] + (1 - closed) * fill, fill)


@cache_per_head
def lip_triangles(head: HeadModel) -> Tensor:
    """Return which triangles are of the lips, (F,) bool."""
    return head.region_mask("lips")[head.faces].all(1)


@cache_per_head
def _shares(head: HeadModel) -> Tensor:
    """Return by how much each vertex follows each pair of landmarks, (V, 9); negative for the lower lip."""
    points = head.landmark_embedding("mediapipe").points(head.v_template, head.faces)
    vertices, parts = head.v_template, []
    for rim, sign in ((_UPPER, 1.0), (_LOWER, -1.0)):
        distance = torch.cdist(vertices, points[rim])
        along = torch.softmax(-distance / ALONG_M, dim=1)
        parts.append(sign * (1 - distance.min(1).values / REACH_M).clamp_min(0)[:, None] * along)
    upper, lower = parts
    is_upper = follows_lower_lip(head) < 0.5
    inside = [head.region_mask(name) for name in ("upper_teeth", "lower_teeth", "tongue")]
    return torch.where(is_upper[:, None], upper, lower) * ~torch.stack(inside).any(0)[:, None]


@cache_per_head
def follows_lower_lip(head: HeadModel) -> Tensor:
    """Return by how much each vertex follows the lower lip when the jaw opens, (V,)."""
    opening = head.expressiondirs[..., ARKIT_NAMES.index("jawOpen")]
    embedding = head.landmark_embedding("mediapipe")
    moved = embedding.points(opening, head.faces)[:, 1]
    return (opening[:, 1] - moved[13]) / (moved[14] - moved[13])
