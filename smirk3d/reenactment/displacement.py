"""How far the points of a moved face lie from where the photo shows them, smooth beyond the head."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from smirk3d.head.memoize import cache_per_head
from smirk3d.head.model import HeadModel
from smirk3d.reenactment.lip_margin import closing_ndc, follows_lower_lip, lip_triangles
from smirk3d.reenactment.outline import at_outline, beyond_outline
from smirk3d.reenactment.source_photo import SourcePhoto
from smirk3d.render.photo_warp.image_fields import blur, continued, pixel_grid, rise
from smirk3d.render.photo_warp.mesh_parts import AROUND, EYE, FACE
from smirk3d.render.photo_warp.placed_mesh import PlacedMesh

EDGE_PX = 3.0
"""Width of the edges of hidden parts of eyes and mouth, samples."""
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
TURNING = 0.02
"""Least change of the component of the normal towards the camera of points that turn into sight."""
TORN_PX = 2.0
"""Distance, samples, by which lips close from which what is between them in the photo is not to be seen."""
SEAM_ROWS = 3
"""Rows of samples on each side of the seam that count as it: the photo may have more pixels than there are samples."""
BORDER_NDC = 0.12
"""Width of the border of the region over which everything comes to rest, half sides."""


@dataclass(frozen=True, eq=False)
class ShownPoints:
    """What each pixel of a moved face shows.

    Attributes:
        covered: (S, S) bool, pixels of the mesh.
        triangle: (S, S) int64, 0 elsewhere.
        part: (S, S) parts, see `smirk3d.render.photo_warp.mesh_parts`.
        at: (S, S, 3) where the fitted mesh has the points, image space with depth in metres.
        normal_before: (S, S, 3) normals of the fitted mesh.
        normal: (S, S, 3) normals of the moved mesh.
    """

    covered: Tensor
    triangle: Tensor
    part: Tensor
    at: Tensor
    normal_before: Tensor
    normal: Tensor

    def is_new(self, head: HeadModel) -> Tensor:
        """Return which points outside of eyes, nose, mouth and neck turn into sight, (S, S) bool."""
        before, after = self.normal_before[..., 2], self.normal[..., 2]
        is_new = self.covered & (before < 0) & (after > before + TURNING)
        return is_new & (outline_kinds(head)[self.triangle] == _OTHER)


def mesh_displacement(source: SourcePhoto, changed: PlacedMesh, points: ShownPoints) -> Tensor:
    """Return the displacement (S, S, 2) of the mesh's pixels, half sides; 0 elsewhere.

    Args:
        source: The photo.
        changed: The mesh that is shown.
        points: What the pixels show.
    """
    head = source.face.head
    at = at_outline(source, points.at[..., :2], points.is_new(head))
    moved = torch.where(points.covered[..., None], at - pixel_grid(len(at)), 0.0)
    is_skin = (points.part == FACE) & ~lid_triangles(head)[points.triangle]
    soft = _without_jags(moved, is_skin)
    if not _lips_close(source, changed):
        return soft
    for lip, opposite in permutations([points.covered & each[points.triangle] for each in each_lip(head)]):
        # The photo may have teeth half-way between where it shows the one lip and the other.
        soft = torch.where(lip[..., None], _without_jags(moved, is_skin & ~opposite), soft)
    return soft


def torn_seam(source: SourcePhoto, changed: PlacedMesh, points: ShownPoints) -> Tensor:
    """Return the pixels (S, S) bool along the seam of closing lips, between which the photo shows something else."""
    if not _lips_close(source, changed):
        return torch.zeros_like(points.covered)
    upper, lower = (points.covered & each[points.triangle] for each in each_lip(source.face.head))
    above_lower = functional.pad(lower.float(), (0, 0, 0, SEAM_ROWS))
    below_upper = functional.pad(upper.float(), (0, 0, SEAM_ROWS, 0))
    both = torch.stack([above_lower, below_upper])
    return (functional.max_pool2d(both, (SEAM_ROWS + 1, 1), stride=1) > 0).all(0)


def _lips_close(source: SourcePhoto, changed: PlacedMesh) -> bool:
    """Return whether the lips come nearer to each other than in the photo."""
    return float(closing_ndc(source.fitted, changed).max()) * (source.region.size / 2) > TORN_PX


@cache_per_head
def each_lip(head: HeadModel) -> tuple[Tensor, Tensor]:
    """Return which triangles are of the upper lip, and of the lower one, (F,) bool each."""
    is_lower = follows_lower_lip(head)[head.faces].mean(1) > 0.5
    is_lip = lip_triangles(head)
    return is_lip & ~is_lower, is_lip & is_lower


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


def continued_over_edges(moved: Tensor, seen: Tensor, part: Tensor) -> Tensor:
    """Return a displacement (S, S, 2) that goes on from the skin into hidden parts of eyes and mouth.

    At their soft edges the photo shows half. What it has behind lids and lips would be dots of an iris or of teeth.

    Args:
        moved: (S, S, 2) from each pixel to where the photo shows its point.
        seen: (S, S) in [0, 1], how well it shows it.
        part: (S, S) the parts.
    """
    hidden, skin = (part >= EYE) & (seen < 0.5), ((part == FACE) & (seen >= 0.5)).float()
    if not bool(hidden.any()):
        return moved
    sigma = EDGE_PX / len(moved)
    around = blur(skin, sigma)[..., None]
    mean = blur((moved * skin[..., None]).permute(2, 0, 1).contiguous(), sigma).permute(1, 2, 0)
    return torch.where(hidden[..., None] & (around > 0.02), mean / around.clamp_min(0.02), moved)


def smooth_displacement(source: SourcePhoto, points: ShownPoints, moved: Tensor, in_photo: Tensor) -> Tensor:
    """Return the displacement (S, S, 2) of the whole region.

    Where the mesh turns away, as below the chin, and beyond it, the motion of what is near goes on and fades out.

    Args:
        source: The photo.
        points: What the pixels show.
        moved: (S, S, 2) the displacement of the mesh's pixels.
        in_photo: (S, S) bool, points that the photo shows.
    """
    head, size, part = source.face.head, source.region.size, points.part
    is_new = points.is_new(head)
    moved, is_beyond = beyond_outline(moved, is_new, points.covered)
    facing = points.normal.minimum(points.normal_before)[..., 2] > OUTLINE
    faces_us = is_new | is_beyond | (points.covered & facing & in_photo)
    kind = torch.where(points.covered, outline_kinds(head)[points.triangle], _OTHER)
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


def rest_at_border(size: int) -> Tensor:
    """Return factors (S, S) that fall to 0 at the border of the region."""
    line = rise(1 - pixel_grid(size)[0, :, 0].abs(), (0.0, BORDER_NDC))
    line = line * line * (3 - 2 * line)
    return line[:, None] * line[None, :]
