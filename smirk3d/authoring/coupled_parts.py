"""Parts behind the skin that follow it on every identity: the inside of the mouth, the eyeballs and their sockets.

MakeHuman's targets of identity deform the skin with little regard to what lies behind it, which would come through.
"""

from __future__ import annotations

import torch
from torch import Tensor

from smirk3d.authoring.edge_loops import Rims
from smirk3d.authoring.openings import LID_EDGE, LID_INSIDE, LIP_SEAM

MOUTH_COUPLING_RADIUS_M = 0.010
"""Radius of the Gaussian by which the interior of the mouth follows the skin, metres."""
LIP_FACE = 3
"""Loop on the front of the lips."""
CLEARANCE_RANGE_M = 0.003
"""Distance from the eyeball at which a vertex of a lid counts 1/e, metres."""
MEAN_MOTION_WEIGHT = 0.1
"""Weight of following the mean motion of the lids, beside that of keeping their distance from the eyeball."""
SOCKET_RINGS = 3
"""Edges from the lids over which a socket goes over from following the lids to following the eyeball."""
SOCKET_DEPTH_M = 0.002
"""Depth of a socket behind the surface of the eyeball, metres."""


def couple_mouth_interior(mean: Tensor, shapedirs: Tensor, inside: Tensor, skin: Tensor) -> Tensor:
    """Let the interior of the mouth follow the shape of the skin around it.

    MakeHuman's targets deform lips and jaw without the interior of the mouth, which then penetrates thin lips. Each
    interior vertex takes the mean offset of the skin around it, weighted by a Gaussian of the distance.

    Args:
        mean: (V, 3) mean head, metres.
        shapedirs: (V, 3, S) shape directions.
        inside: (V,) bool mask of the interior.
        skin: (V,) bool mask of the skin.

    Returns:
        (V, 3, S) shape directions.
    """
    distance = torch.cdist(mean[inside], mean[skin])
    # The softmax normalises the Gaussian weights in the log domain: deep in the mouth all of them would underflow.
    log_weight = -((distance / MOUTH_COUPLING_RADIUS_M) ** 2)
    coupled = shapedirs.clone()
    coupled[inside] = torch.einsum("iv,vks->iks", log_weight.softmax(dim=1), shapedirs[skin])
    return coupled


def couple_lip_lining(mouth: Rims, shapedirs: Tensor) -> Tensor:
    """Let the inner side of the lips keep its distance from the seam and from the front of the lips.

    Args:
        mouth: Loops of the mouth.
        shapedirs: (V, 3, S) shape directions with a closed seam.

    Returns:
        (V, 3, S) shape directions.
    """
    coupled = shapedirs.clone()
    for rim in (mouth.upper, mouth.lower):
        seam = shapedirs[rim[LIP_SEAM]]
        coupled[rim[LIP_SEAM + 1]] = seam
        coupled[rim[LIP_SEAM + 2]] = (seam + shapedirs[rim[LIP_FACE]]) / 2
    return coupled


def couple_eyeball(mean: Tensor, shapedirs: Tensor, eyeball: Tensor, skin: Tensor, eye: Rims) -> Tensor:
    """Let an eyeball follow its lids by translation and uniform scale, so that it stays a sphere.

    The lids keep their distance from it in the sense of least squares, those most that lie upon it; an eyeball that
    merely took the mean motion of the skin would come through shallow lids.

    Args:
        mean: (V, 3) mean head, metres.
        shapedirs: (V, 3, S) shape directions.
        eyeball: (V,) bool mask of the eyeball.
        skin: (V,) bool mask of the skin around the eyeball, for the mean motion.
        eye: Loops of the lids.

    Returns:
        (V, 3, S) shape directions.
    """
    center = sphere_center(mean[eyeball])
    radius = (mean[eyeball] - center).norm(dim=1).mean()
    lids = torch.cat([eye.upper[: LID_EDGE[-1] + 1].flatten(), eye.lower[: LID_EDGE[-1] + 1].flatten()]).unique()
    arm = mean[lids] - center
    distance = arm.norm(dim=1)
    weight = torch.exp(-(((distance - radius) / CLEARANCE_RANGE_M) ** 2))
    # A translation t and a growth g move the surface by n t + |arm| g along the normal n at a vertex of a lid.
    normal = arm / distance[:, None]
    system = torch.cat([normal, distance[:, None]], dim=1)
    wanted = torch.einsum("lk,lks->ls", normal, shapedirs[lids])
    mean_motion = _mean_motion(mean[skin] - center, shapedirs[skin])
    stiffness = MEAN_MOTION_WEIGHT * weight.sum() * torch.stack([radius.new_tensor(1.0)] * 3 + [radius**2])
    weighted = (system * weight[:, None]).T
    motion = torch.linalg.solve(
        weighted @ system + torch.diag(stiffness), weighted @ wanted + stiffness[:, None] * mean_motion
    )
    coupled = shapedirs.clone()
    coupled[eyeball] = motion[:3] + (mean[eyeball] - center)[..., None] * motion[3]
    return coupled


def _mean_motion(arm: Tensor, offset: Tensor) -> Tensor:
    """Return translation and growth (4, S), the least-squares fit of offsets (L, 3, S) at places (L, 3)."""
    mean_arm, shift = arm.mean(0), offset.mean(0)
    spread = arm - mean_arm
    growth = torch.einsum("lk,lks->s", spread, offset - shift) / spread.square().sum()
    return torch.cat([shift - mean_arm[:, None] * growth, growth[None]])


def socket_share(socket: Tensor, faces: Tensor, eye: Rims) -> Tensor:
    """Return the share (V,) by which vertices of a socket follow the eyeball instead of the lids, zero elsewhere.

    Args:
        socket: (V,) bool mask that holds the socket; its other vertices are of sockets that do not hang together with
            this one.
        faces: (F, 3) int64.
        eye: Loops of the lids, of which the innermost borders the socket.
    """
    share = torch.zeros(len(socket))
    is_lid = torch.zeros_like(socket)
    is_lid[torch.cat([eye.upper.flatten(), eye.lower.flatten()])] = True
    reached = torch.zeros_like(socket)
    reached[torch.cat([eye.upper[LID_INSIDE], eye.lower[LID_INSIDE]])] = True
    ring = 0
    while True:
        touched = torch.zeros_like(socket)
        touched[faces[reached[faces].any(1)].flatten()] = True
        new = touched & socket & ~reached & ~is_lid
        if not new.any():
            return share
        ring += 1
        share[new] = min(1.0, ring / SOCKET_RINGS)
        reached |= new


def couple_socket(mean: Tensor, shapedirs: Tensor, eyeball: Tensor, share: Tensor, eye: Rims) -> Tensor:
    """Let the inner edge of the lids follow the edge before it, and the socket behind it follow the eyeball.

    Args:
        mean: (V, 3) mean head, metres.
        shapedirs: (V, 3, S) shape directions, those of the eyeball already coupled.
        eyeball: (V,) bool mask of the eyeball.
        share: (V,) share by which vertices of the socket follow the eyeball, see `socket_share`.
        eye: Loops of the lids.

    Returns:
        (V, 3, S) shape directions.
    """
    coupled = shapedirs.clone()
    for rim in (eye.upper, eye.lower):
        coupled[rim[LID_INSIDE]] = shapedirs[rim[LID_INSIDE - 1]]
    edge = torch.cat([eye.upper[LID_INSIDE], eye.lower[LID_INSIDE]])
    socket = torch.nonzero(share)[:, 0]
    nearest = edge[torch.cdist(mean[socket], mean[edge]).argmin(1)]
    motion = _mean_motion(mean[eyeball], shapedirs[eyeball])
    with_eyeball = motion[:3] + mean[socket][..., None] * motion[3]
    part = share[socket, None, None]
    coupled[socket] = (1 - part) * coupled[nearest] + part * with_eyeball
    return coupled


def tucked_socket(mean: Tensor, eyeball: Tensor, share: Tensor) -> Tensor:
    """Return the mean head (V, 3) with the socket inside the eyeball, where shallow lids cannot uncover it.

    Args:
        mean: (V, 3) metres.
        eyeball: (V,) bool mask of the eyeball.
        share: (V,) share by which vertices of the socket follow the eyeball.
    """
    center = sphere_center(mean[eyeball])
    radius = (mean[eyeball] - center).norm(dim=1).mean() - SOCKET_DEPTH_M
    arm = mean - center
    inside = center + arm * (radius / arm.norm(dim=1, keepdim=True)).clamp_max(1.0)
    return torch.lerp(mean, inside, share[:, None])


def sphere_center(points: Tensor) -> Tensor:
    """Return the centre (3,) of the sphere through `points` (N, 3), N >= 4, by linear least squares."""
    # |p|² = 2 c·p + (r² - |c|²) is linear in the centre c and in the bracket.
    points = points.double()
    system = torch.cat([2 * points, points.new_ones(len(points), 1)], dim=1)
    return torch.linalg.lstsq(system, (points * points).sum(1, keepdim=True)).solution[:3, 0].float()
