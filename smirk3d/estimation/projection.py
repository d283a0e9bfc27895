"""Poses of many heads, their projection to pixels, and its derivatives."""

# torch's own annotations are incomplete.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from smirk3d.geometry.align import Similarity
from smirk3d.geometry.camera import Camera
from smirk3d.geometry.rotations import rotvec_to_rotmat


@dataclass(frozen=True)
class Pose:
    """The poses of B heads relative to their cameras, with the cameras' intrinsics.

    With an infinite focal length the camera is scaled orthographic, else perspective at a distance of focal / scale.
    The rotated point (x, y, z) and the offset (ox, oy) in metres, `offset_px / scale` with oy down, project to
    `center_px + scale * (x + ox, oy - y) / (1 - scale z / focal)`.

    Attributes:
        rotmat: (B, 3, 3) rotations from the head frame to the camera frame.
        scale: (B,) pixels per metre at the head's origin.
        offset_px: (B, 2) image of the head's origin relative to the principal point, pixels, y down.
        center_px: (B, 2) principal points, pixels.
        focal_px: (B,) focal lengths, pixels; infinite for scaled orthographic cameras.
    """

    rotmat: Tensor
    scale: Tensor
    offset_px: Tensor
    center_px: Tensor
    focal_px: Tensor

    @staticmethod
    def from_similarity(similarity: Similarity, center_px: Tensor, focal_px: Tensor) -> Pose:
        """Return the poses of similarities.

        Args:
            similarity: B maps from metres of the head frame to pixels relative to the principal point, y up.
            center_px: (B, 2) principal points, pixels.
            focal_px: (B,) focal lengths, pixels.
        """
        offset_px = similarity.offset[:, :2] * similarity.offset.new_tensor([1.0, -1.0])
        return Pose(similarity.rotmat, similarity.scale, offset_px, center_px, focal_px)

    def moved(self, step: Tensor) -> Pose:
        """Return the poses after a step.

        Args:
            step: (B, 6) rotation vector in the camera frame, change of the log scale, offset in metres.
        """
        rotation = rotvec_to_rotmat(step[:, :3])
        return replace(
            self,
            rotmat=rotation @ self.rotmat,
            # A logarithm keeps the scale positive; the limit keeps a bad first step from losing the head.
            scale=self.scale * step[:, 3].clamp(-0.3, 0.3).exp(),
            offset_px=self.offset_px + self.scale[:, None] * step[:, 4:],
        )

    def camera(self, index: int) -> Camera:
        """Return the camera of one head."""
        rotmat = self.rotmat[index].double().cpu().numpy()
        scale, focal = float(self.scale[index]), float(self.focal_px[index])
        offset = self.offset_px[index].double().cpu().numpy() / scale * [1.0, -1.0]
        center = self.center_px[index].double().cpu().numpy()
        perspective = focal != float("inf")
        depth = -focal / scale if perspective else 0.0
        translation = np.array([*offset, depth])
        return Camera(rotmat, translation, center, scale, focal if perspective else None)


def project(points: Tensor, pose: Pose) -> tuple[Tensor, Tensor, Tensor]:
    """Project points, with derivatives.

    Args:
        points: (B, L, 3) metres, head frame.
        pose: B poses.

    Returns:
        Pixels (B, L, 2); their derivatives by a pose step (B, L, 2, 6), see `Pose.moved`; and by the point in the
        head frame (B, L, 2, 3).
    """
    rotated = points @ pose.rotmat.mT
    x, y, z = rotated.unbind(-1)
    scale = pose.scale[:, None]
    offset = pose.offset_px / pose.scale[:, None]
    # In metres at the head's distance: u = (x + ox) g, v = (oy - y) g, g = 1 / (1 - scale z / focal).
    inverse_distance = scale / pose.focal_px[:, None]
    gain = 1 / (1 - inverse_distance * z).clamp_min(0.05)  # the limit keeps points behind the camera finite
    u, v = (x + offset[:, None, 0]) * gain, (offset[:, None, 1] - y) * gain
    image = pose.center_px[:, None] + scale[..., None] * torch.stack([u, v], dim=-1)
    zero = torch.zeros_like(x)
    du = torch.stack([gain, zero, u * gain * inverse_distance], dim=-1)
    dv = torch.stack([zero, -gain, v * gain * inverse_distance], dim=-1)
    by_rotated = scale[..., None, None] * torch.stack([du, dv], dim=-2)
    # A rotation step w moves the rotated point p by w x p, and d . (w x p) = w . (p x d).
    by_rotation = torch.linalg.cross(rotated.unsqueeze(-2).expand_as(by_rotated), by_rotated)
    # The offset is kept in pixels. So a larger scale enlarges the head about its origin, and brings it nearer, which
    # changes the gain: d gain / d log scale = gain^2 z / distance.
    grow = torch.stack(
        [x * gain + u * gain * inverse_distance * z, -y * gain + v * gain * inverse_distance * z], dim=-1
    )
    by_scale = (scale[..., None] * grow).unsqueeze(-1)
    by_offset = torch.diag_embed((scale * gain)[..., None].expand(*gain.shape, 2))
    pose_jacobian = torch.cat([by_rotation, by_scale, by_offset], dim=-1)
    return image, pose_jacobian, by_rotated @ pose.rotmat[:, None]
