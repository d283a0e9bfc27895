"""Morph targets of a face: vertex offsets from the neutral mesh for each ARKit blendshape."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from smirk3d.face import Face
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.memoize import cache_per_head
from smirk3d.head.model import HeadModel, ShapedHead
from smirk3d.head.retargeting.retargeter import find_retargeter
from smirk3d.params import FaceParams

RESIDUAL_TARGET = "remainder"
"""Name of the last target of heads on which the others do not reproduce every expression."""
MIN_OFFSET_M = 1e-6
"""Targets do not move vertices by less than this."""
MIN_TRANSFERRED_OFFSET_M = 5e-5
"""Smaller offsets of an ARKit blendshape that is transferred to another head are left to `RESIDUAL_TARGET`."""
_EYE_COLUMNS = (3, 4)
"""Joints of the left and the right eye in `JOINT_NAMES`."""


@dataclass(frozen=True)
class MorphTargets:
    """T targets of one face; offsets are metres in the head frame.

    Attributes:
        names: T names; the 52 ARKit names in Apple's order first.
        offsets: (T, V, 3) float32 offsets at weight 1.
        weights: (T,) float32 weights of this face.
    """

    names: tuple[str, ...]
    offsets: np.ndarray
    weights: np.ndarray


def morph_targets(face: Face) -> MorphTargets:
    """Return the morph targets of a face.

    They are the 52 ARKit blendshapes on every head to which these can be transferred, which takes face landmarks, and
    the components of the head's own expression on others. A target is the head at weight 1 minus the neutral head. Gaze
    rotates the eyeballs, but a morph target can only move a vertex along the chord of that rotation: between the
    weights 0 and 1 an eyeball shrinks by at most 1 - cos(angle / 2), about 2 % of its radius. The lids of each person
    meet at weight 1 of a blink; sums of targets are linear and may overlap, unlike those of the head. Heads other than
    the open head get one more target, `RESIDUAL_TARGET`, with weight 1: the residual that remains to `face.vertices`.
    """
    head = face.head
    offsets = linear_blendshape_offsets(head).copy()
    personal = personal_targets(head)
    if len(personal):
        offsets[personal] = _personal_offsets(face, personal) * moved_vertices(head)[personal, :, None]
    if uses_arkit_basis(head):
        names, weights = ARKIT_NAMES, np.array([face.arkit[name] for name in ARKIT_NAMES], dtype=np.float32)
    else:
        names, weights = head.expression_names, np.asarray(face.expression, dtype=np.float32)
    if has_residual_target(head):
        residual = face.vertices - face.neutral_vertices - np.tensordot(weights, offsets, axes=1)
        offsets = np.concatenate([offsets, residual[None].astype(np.float32)])
        names, weights = (*names, RESIDUAL_TARGET), np.append(weights, np.float32(1))
    return MorphTargets(tuple(names), offsets, weights)


def uses_arkit_basis(head: HeadModel) -> bool:
    """Return whether the targets are the ARKit blendshapes: the head's own, or transferred to it."""
    return head.expression_names == ARKIT_NAMES or "mediapipe" in head.data.landmarks


def has_residual_target(head: HeadModel) -> bool:
    """Return whether the last target of faces of this head is `RESIDUAL_TARGET`."""
    return bool({"jaw", "eyelids"} & set(head.spec.names)) or head.expression_names != ARKIT_NAMES


@cache_per_head
def target_params(head: HeadModel) -> FaceParams:
    """Return the parameters (T, ...) of each target at weight 1."""
    transfer = find_retargeter(head) if uses_arkit_basis(head) else None
    if transfer is None:
        return FaceParams(expression=torch.eye(head.n_expression).to(head.v_template))
    return transfer.from_arkit(torch.eye(len(ARKIT_NAMES)).to(head.v_template))


@cache_per_head
def linear_blendshape_offsets(head: HeadModel) -> np.ndarray:
    """Return the offsets (T, V, 3) float32 of the targets on the mean head.

    Except at the eyes and their lids they are the same for every person.
    """
    if uses_arkit_basis(head) and head.expression_names != ARKIT_NAMES:
        with torch.no_grad():
            moved = head(target_params(head)).vertices - head.v_template
        offsets = torch.where(moved.abs() < MIN_TRANSFERRED_OFFSET_M, 0.0, moved)
    else:
        offsets = head.expressiondirs.detach().permute(2, 0, 1)
    result = offsets.cpu().numpy().astype(np.float32, order="C")
    result.setflags(write=False)
    return result


@cache_per_head
def moved_vertices(head: HeadModel) -> np.ndarray:
    """Return (T, V) bool: the vertices that the targets move on any person, without `RESIDUAL_TARGET`."""
    offsets = linear_blendshape_offsets(head)
    is_lid = torch.zeros(offsets.shape[:2], dtype=torch.bool)
    lids = head.data.lid_closure
    if lids is not None:
        is_lid[lids.closing[lids.follower_row], lids.follower] = True
    turns = rotated_joints(head) @ head.lbs_weights.cpu().numpy().T > 0
    return (np.abs(offsets).max(axis=2) > MIN_OFFSET_M) | is_lid.numpy() | turns


@cache_per_head
def rotated_joints(head: HeadModel) -> np.ndarray:
    """Return (T, J) float32: the largest component in radians of the rotation vector of each joint in each target.

    On heads with joint parameters only the eyes count, whose rotation depends most on the person's shape.
    """
    params = target_params(head)
    angles = head.expression_rotvec.detach().abs().amax(dim=2)
    if params.eyes is not None:
        angles = angles.new_zeros(len(params.eyes), angles.shape[1])
        angles[:, _EYE_COLUMNS] = params.eyes.detach().abs().unflatten(1, (2, 3)).amax(dim=2)
    return angles.cpu().numpy()


def personal_targets(head: HeadModel) -> np.ndarray:
    """Return the indices (K,) int64 of the targets whose offsets depend on the person: gaze and blink."""
    turning = np.flatnonzero(rotated_joints(head).any(axis=1))
    if head.data.lid_closure is None:
        return turning
    return np.union1d(turning, head.data.lid_closure.closing.numpy())


def _personal_offsets(face: Face, rows: np.ndarray) -> np.ndarray:
    """Return the offsets (K, V, 3) of targets, computed with the head model for this person."""
    head = face.head
    neutral = torch.as_tensor(face.neutral_vertices).to(head.v_template)
    params = FaceParams(**{name: value[torch.from_numpy(rows)] for name, value in target_params(head).items()})
    with torch.no_grad():
        shaped = ShapedHead(neutral)
        moved = head.posed(head.expressed(shaped, params), params).vertices
    return (moved - neutral).cpu().numpy()
