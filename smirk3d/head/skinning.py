"""Linear blend skinning of many vertices with few joints."""

from __future__ import annotations

import torch
from torch import Tensor


def linear_blend_skinning(
    vertices: Tensor, joints: Tensor, rotmat: Tensor, lbs_weights: Tensor, parents: tuple[int, ...]
) -> Tensor:
    """Rotate the joints of a mesh in its rest pose.

    Args:
        vertices: (..., V, 3) vertices in the rest pose, metres.
        joints: (..., J, 3) joints in the rest pose, metres.
        rotmat: (..., J, 3, 3) rotation of each joint relative to its parent.
        lbs_weights: (V, J) skinning weights, rows sum to 1.
        parents: J parent indices, -1 for the root; a parent precedes its children.

    Returns:
        (..., V, 3) posed vertices, metres.

    Source: Loper et al., "SMPL: A Skinned Multi-Person Linear Model", 2015, equations 2 and 3.
    """
    columns = _joint_columns(joints, rotmat, parents).flatten(-2)
    x_axis, y_axis, z_axis, offset = (lbs_weights @ columns).split(3, dim=-1)
    # R x + t as three fused multiply-adds over whole columns: many times faster than V small matrix products.
    x, y, z = vertices.split(1, dim=-1)
    return torch.addcmul(torch.addcmul(torch.addcmul(offset, x_axis, x), y_axis, y), z_axis, z)


def _joint_columns(joints: Tensor, rotmat: Tensor, parents: tuple[int, ...]) -> Tensor:
    """Return the map x -> R x + t of each joint into the posed head: (..., J, 4, 3), the columns of R, then t."""
    # Rotation about its own joint: x -> R (x - joint) + joint. Stored transposed, so that row vectors multiply from the
    # left and a child is composed with its parent by one product of 4x4 matrices.
    pivot = joints.unsqueeze(-2)
    local = torch.cat([rotmat.mT, pivot - pivot @ rotmat.mT], dim=-2)
    homogeneous = torch.eye(4, dtype=local.dtype, device=local.device)[:, 3:].expand(*local.shape[:-1], 1)
    maps: list[Tensor] = []
    for local_map, parent in zip(torch.cat([local, homogeneous], dim=-1).unbind(-3), parents):
        maps.append(local_map if parent < 0 else local_map @ maps[parent])
    return torch.stack(maps, dim=-3)[..., :3]
