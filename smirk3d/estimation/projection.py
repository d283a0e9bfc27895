"""Poses of many heads, their projection to pixels, and its derivatives."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import roma
import torch
from torch import Tensor

from smirk3d.geometry.align import Similarity
from smirk3d.geometry.camera import Camera

POSE_SIZE = 6
"""Three for the rotation, one for the logarithm of the size, two for the place in the image."""


@dataclass(frozen=True)
class Pose:
    """How B heads stand before their cameras.

    The projection is `center + offset_px + scale * (x, -y) / (1 - scale z / focal)` of the turned point
    (x, y, z): with an infinite focal length the scaled orthographic camera, else the perspective one whose
    distance is focal / scale and whose image is moved by `offset_px` of the head's origin.

    Attributes:
        rotmat: (B, 3, 3) head to camera. scale: (B,) pixels per metre at the head's origin.
        offset_px: (B, 2) image of the head's origin relative to the principal point, y down.
        center_px: (B, 2) principal point. focal_px: (B,), infinite for orthographic.
    """

    rotmat: Tensor
    scale: Tensor
    offset_px: Tensor
    center_px: Tensor
    focal_px: Tensor

    @staticmethod
    def from_similarity(similarity: Similarity, center_px: Tensor, focal_px: Tensor) -> Pose:
        """Return the pose of a similarity from metres to pixels around the principal point, y up."""
        offset_px = similarity.offset[:, :2] * similarity.offset.new_tensor([1.0, -1.0])
        return Pose(similarity.rotmat, similarity.scale, offset_px, center_px, focal_px)

    def moved(self, step: Tensor) -> Pose:
        """Return the pose after a step (B, 6): rotation vector (camera frame), log scale, offset in `scale` metres."""
        turn = roma.rotvec_to_rotmat(step[:, :3])
        return replace(
            self,
            rotmat=turn @ self.rotmat,
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
    """Project points and differentiate.

    Args:
        points: (B, L, 3) metres, head frame. pose: B poses.

    Returns:
        Pixels (B, L, 2), their derivatives by a pose step (B, L, 2, 6) as taken by `Pose.moved`, and by the
        point in the head frame (B, L, 2, 3).
    """
    turned = points @ pose.rotmat.mT
    x, y, z = turned.unbind(-1)
    scale = pose.scale[:, None]
    offset = pose.offset_px / pose.scale[:, None]
    # In metres at the head's distance: u = (x + ox) g, v = (oy - y) g, g = 1 / (1 - scale z / focal).
    bend = scale / pose.focal_px[:, None]
    gain = 1 / (1 - bend * z).clamp_min(0.05)
    u, v = (x + offset[:, None, 0]) * gain, (offset[:, None, 1] - y) * gain
    image = pose.center_px[:, None] + scale[..., None] * torch.stack([u, v], dim=-1)
    zero = torch.zeros_like(x)
    du = torch.stack([gain, zero, u * gain * bend], dim=-1)
    dv = torch.stack([zero, -gain, v * gain * bend], dim=-1)
    by_turned = scale[..., None, None] * torch.stack([du, dv], dim=-2)
    # A rotation step w moves the turned point by w x point.
    by_rotation = torch.linalg.cross(turned.unsqueeze(-2).expand_as(by_turned), by_turned)
    # The offset is kept in pixels, so a larger scale moves only what the head itself spans, and bends more.
    grow = torch.stack([x * gain + u * gain * bend * z, -y * gain + v * gain * bend * z], dim=-1)
    by_scale = (scale[..., None] * grow).unsqueeze(-1)
    by_offset = torch.diag_embed((scale * gain)[..., None].expand(*gain.shape, 2))
    by_pose = torch.cat([by_rotation, by_scale, by_offset], dim=-1)
    return image, by_pose, by_turned @ pose.rotmat[:, None]
