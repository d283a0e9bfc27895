"""Morph targets: what each expression does to one person's face, as offsets from the neutral mesh."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from smirk3d.export.per_head import per_head
from smirk3d.face import Face
from smirk3d.head.model import HeadModel, Shaped
from smirk3d.types import FaceParams

JOINTS_TARGET = "jawAndEyelids"
"""Name of the extra target on heads whose jaw or eyelids are no expression components."""


@dataclass(frozen=True)
class MorphTargets:
    """T targets of one face; offsets are metres in the head frame.

    Attributes:
        names: T names; on the open head the 52 ARKit names in Apple's order.
        offsets: (T, V, 3) float32 at weight 1.
        weights: (T,) this face's own weights.
    """

    names: tuple[str, ...]
    offsets: np.ndarray
    weights: np.ndarray


def morph_targets(face: Face) -> MorphTargets:
    """Return one target per expression component of the face's head.

    A target is the head at weight 1 minus the neutral head. Gaze turns the eyeballs; a morph target can only
    move a vertex along the straight chord of that turn, so between 0 and 1 an eyeball shrinks by at most 1 -
    cos(angle / 2), about 2 % of its radius. Heads with a jaw joint or separate eyelids get one more target,
    `JOINTS_TARGET`, with weight 1: whatever the components leave to reach `face.vertices`.
    """
    head = face.head
    offsets = straight_offsets(head).copy()
    turning = turning_components(head)
    if len(turning):
        offsets[turning] = _turned_offsets(face, turning)
    names, weights = head.expression_names, np.asarray(face.expression, dtype=np.float32)
    if has_joints_target(head):
        rest = face.vertices - face.neutral_vertices - np.tensordot(weights, offsets, axes=1)
        offsets = np.concatenate([offsets, rest[None].astype(np.float32)])
        names, weights = (*names, JOINTS_TARGET), np.append(weights, np.float32(1))
    return MorphTargets(tuple(names), offsets, weights)


@per_head
def straight_offsets(head: HeadModel) -> np.ndarray:
    """Return the offsets (E, V, 3) float32 of the components before joints turn, the same for all people."""
    offsets = head.expressiondirs.detach().permute(2, 0, 1).cpu().numpy().astype(np.float32, order="C")
    offsets.setflags(write=False)
    return offsets


@per_head
def turning_components(head: HeadModel) -> np.ndarray:
    """Return the rows (K,) int64 of the components that turn joints (gaze): these depend on the person."""
    largest = head.expression_rotvec.detach().abs().amax(dim=(1, 2)).cpu().numpy()
    return np.flatnonzero(largest > 0)


def has_joints_target(head: HeadModel) -> bool:
    """Say whether faces of this head have a last target `JOINTS_TARGET`."""
    return bool({"jaw", "eyelids"} & set(head.spec.names))


def _turned_offsets(face: Face, components: np.ndarray) -> np.ndarray:
    """Return the offsets (K, V, 3) of components that turn joints, posed by the head itself."""
    head = face.head
    neutral = torch.as_tensor(face.neutral_vertices).to(head.v_template)
    one_hot = torch.eye(head.n_expression)[torch.from_numpy(components)]
    params = FaceParams(expression=one_hot.to(head.v_template))
    with torch.no_grad():
        shaped = Shaped(neutral)
        moved = head.posed(head.expressed(shaped, params), params).vertices
    return (moved - neutral).cpu().numpy()
