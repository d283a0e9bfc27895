"""Linear blend skinning, for few joints and many vertices."""

from __future__ import annotations

import torch
from torch import Tensor


def linear_blend_skinning(
    vertices: Tensor, joints: Tensor, rotmat: Tensor, lbs_weights: Tensor, parents: tuple[int, ...]
) -> Tensor:
    """Turn the joints of a rest-pose mesh.

    Args:
        vertices: (..., V, 3) rest pose, metres.
        joints: (..., J, 3) rest pose, metres.
        rotmat: (..., J, 3, 3) rotation of each joint relative to its parent.
        lbs_weights: (V, J), rows sum to 1.
        parents: J parent indices, -1 for the root; a parent precedes its children.

    Returns:
        (..., V, 3) posed vertices.

    Source: Loper et al., "SMPL", 2015, equations 2 and 3.
    """
    columns = _joint_columns(joints, rotmat, parents).flatten(-2)
    x_axis, y_axis, z_axis, offset = (lbs_weights @ columns).split(3, dim=-1)
    # Three sums over whole columns: batched 3x3 matrix products of this many points are many times slower.
    x, y, z = vertices.split(1, dim=-1)
    return torch.addcmul(torch.addcmul(torch.addcmul(offset, x_axis, x), y_axis, y), z_axis, z)


def _joint_columns(joints: Tensor, rotmat: Tensor, parents: tuple[int, ...]) -> Tensor:
    """Return the map x -> R x + t of each joint into the posed head: (..., J, 4, 3), the columns of R, then t."""
    # Around its own joint: x -> R (x - joint) + joint. As rows, so that a map applies as row @ R^T.
    pivot = joints.unsqueeze(-2)
    local = torch.cat([rotmat.mT, pivot - pivot @ rotmat.mT], dim=-2)
    homogeneous = torch.eye(4, dtype=local.dtype, device=local.device)[:, 3:].expand(*local.shape[:-1], 1)
    maps: list[Tensor] = []
    for one, parent in zip(torch.cat([local, homogeneous], dim=-1).unbind(-3), parents):
        maps.append(one if parent < 0 else one @ maps[parent])
    return torch.stack(maps, dim=-3)[..., :3]
