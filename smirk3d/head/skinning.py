"""Linear blend skinning."""

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
    rotations, offsets = [], []
    for joint, parent in enumerate(parents):
        local = rotmat[..., joint, :, :]
        pivot = joints[..., joint, :]
        # x -> R (x - pivot) + pivot, then the parent's own map.
        shift = pivot - (local @ pivot.unsqueeze(-1)).squeeze(-1)
        if parent >= 0:
            shift = (rotations[parent] @ shift.unsqueeze(-1)).squeeze(-1) + offsets[parent]
            local = rotations[parent] @ local
        rotations.append(local)
        offsets.append(shift)
    maps = torch.cat([torch.stack(rotations, -3), torch.stack(offsets, -2).unsqueeze(-1)], dim=-1)
    blended = torch.einsum("vj,...jrc->...vrc", lbs_weights, maps)
    # A product and a sum: batched 3x3 matrix products of this many points are several times slower.
    return (blended[..., :3] * vertices.unsqueeze(-2)).sum(-1) + blended[..., 3]
