"""Conversions of rotations, in the conventions of the package roma, of which they are tested to be equal.

The commands that users wait for take them from here: to import roma loads torch's compiler, which takes as long as
torch itself. Quaternions are (x, y, z, w); rotation vectors have the direction of the axis and the length of the angle
in radians. All are differentiable, also at the identity.
"""

# torch's own annotations are incomplete.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import torch
from torch import Tensor

_MIN_SQUARE = 1e-12
"""Squared angles below this count as this, radians^2: a root has no derivative at 0."""


def rotvec_to_rotmat(rotvec: Tensor) -> Tensor:
    """Return the rotation matrices (..., 3, 3) of rotation vectors (..., 3).

    Source: Rodrigues' formula, R = cos(a) I + sin(a) / a [v]x + (1 - cos(a)) / a^2 v v^T.
    """
    square = rotvec.square().sum(-1)
    angle = square.clamp_min(_MIN_SQUARE).sqrt()
    sine, versine = angle.sin() / angle, 2 * ((angle / 2).sin() / angle).square()
    x, y, z = (rotvec * sine[..., None]).unbind(-1)
    cosine = 1 - versine * square
    spin = torch.stack([cosine, -z, y, z, cosine, -x, -y, x, cosine], dim=-1).unflatten(-1, (3, 3))
    return spin + (versine[..., None] * rotvec)[..., None] * rotvec[..., None, :]


def rotmat_to_unitquat(rotmat: Tensor) -> Tensor:
    """Return the unit quaternions (..., 4) of rotation matrices (..., 3, 3); the largest component is positive.

    Source: Markley, "Unit Quaternion from Rotation Matrix" (2008): each component in turn may be the divisor.
    """
    diagonal = rotmat.diagonal(dim1=-2, dim2=-1)
    trace = diagonal.sum(-1, keepdim=True)
    symmetric, skew = rotmat + rotmat.mT, rotmat - rotmat.mT
    axis = torch.stack([skew[..., 2, 1], skew[..., 0, 2], skew[..., 1, 0]], dim=-1)
    # Row k is the quaternion times four times its component k.
    upper = symmetric - torch.diag_embed(symmetric.diagonal(dim1=-2, dim2=-1) - (1 - trace + 2 * diagonal))
    rows = torch.cat([torch.cat([upper, axis[..., None]], -1), torch.cat([axis, 1 + trace], -1)[..., None, :]], dim=-2)
    largest = torch.cat([diagonal, trace], dim=-1).argmax(-1)
    chosen = rows.gather(-2, largest[..., None, None].expand(*largest.shape, 1, 4)).squeeze(-2)
    return chosen / chosen.norm(dim=-1, keepdim=True)


def rotvec_to_unitquat(rotvec: Tensor) -> Tensor:
    """Return the unit quaternions (..., 4) of rotation vectors (..., 3)."""
    half = rotvec.square().sum(-1, keepdim=True).clamp_min(_MIN_SQUARE).sqrt() / 2
    return torch.cat([half.sin() / (2 * half) * rotvec, half.cos()], dim=-1)


def unitquat_to_rotvec(quaternion: Tensor) -> Tensor:
    """Return the shortest rotation vectors (..., 3) of unit quaternions (..., 4)."""
    quaternion = torch.where(quaternion[..., 3:] < 0, -quaternion, quaternion)
    axis, cosine = quaternion[..., :3], quaternion[..., 3:]
    half = torch.atan2(axis.square().sum(-1, keepdim=True).clamp_min(_MIN_SQUARE).sqrt(), cosine)
    return axis * 2 * half / half.sin()


def rotmat_to_rotvec(rotmat: Tensor) -> Tensor:
    """Return the rotation vectors (..., 3), of at most pi, of rotation matrices (..., 3, 3)."""
    return unitquat_to_rotvec(rotmat_to_unitquat(rotmat))


def quat_product(first: Tensor, second: Tensor) -> Tensor:
    """Return the quaternions (..., 4) of the rotations `second`, then `first`."""
    a, b = first[..., :3], second[..., :3]
    a_w, b_w = first[..., 3:], second[..., 3:]
    vector = a_w * b + b_w * a + torch.linalg.cross(a, b)
    return torch.cat([vector, a_w * b_w - (a * b).sum(-1, keepdim=True)], dim=-1)
