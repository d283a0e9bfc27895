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


@dataclass(frozen=True)
class Projection:
    """Points projected by B poses, with what their derivatives are made of; coordinates come before the points.

    Attributes:
        pose: The poses.
        rows: (B, 3, 3) the rotations to a camera frame with y down.
        rotated: (B, 3, L) points in that frame, metres.
        relative: (B, 2, L) images relative to the principal point, metres at the head's distance.
        gain: (B, 1, L) magnification g = 1 / (1 - scale z / focal) of a point over that of the head's origin.
        foreshortening: (B, 2, L) derivatives of `relative` by z, over g.
    """

    pose: Pose
    rows: Tensor
    rotated: Tensor
    relative: Tensor
    gain: Tensor
    foreshortening: Tensor

    @property
    def image(self) -> Tensor:
        """Pixels (B, 2, L)."""
        return torch.addcmul(self.pose.center_px[..., None], self.pose.scale[:, None, None], self.relative)

    @property
    def _magnified(self) -> Tensor:
        """Pixels per metre (B, 1, 1, L) at the points' distances."""
        return (self.pose.scale[:, None, None] * self.gain).unsqueeze(1)

    def by_pose(self) -> Tensor:
        """Return the derivatives (B, 6, 2, L) of the pixels by a pose step, see `Pose.moved`."""
        x, y, z = self.rotated.unbind(1)
        xyz, slope, zero = self.rotated, self.foreshortening, torch.zeros_like(x)
        # A rotation step w moves the rotated point p by w x p; here y is down.
        moved = torch.stack([zero, z, z, zero, y, -x], dim=1).unflatten(1, (3, 2))
        away = torch.stack([-y, -x, zero], dim=1)
        by_rotation = torch.addcmul(moved, away.unsqueeze(2), slope.unsqueeze(1))
        # The offset is kept in pixels. So a larger scale enlarges the head about its origin, and brings it nearer,
        # which changes the gain: d gain / d log scale = gain^2 z / distance.
        by_scale = torch.addcmul(xyz[:, :2], slope, xyz[:, 2:]).unsqueeze(1)
        one = torch.eye(2, dtype=x.dtype, device=x.device)[..., None].expand(len(x), 2, 2, x.shape[-1])
        return torch.cat([by_rotation, by_scale, one], dim=1) * self._magnified

    def by_point(self) -> Tensor:
        """Return the derivatives (B, 3, 2, L) of the pixels by the points in the head frame."""
        columns = self.rows.mT[..., None]
        return torch.addcmul(columns[:, :, :2], self.foreshortening.unsqueeze(1), columns[:, :, 2:]) * self._magnified


def projected(points: Tensor, pose: Pose) -> Projection:
    """Project points.

    Args:
        points: (B, 3, L) metres, head frame.
        pose: B poses.
    """
    rows = pose.rotmat * points.new_tensor([[1.0], [-1.0], [1.0]])
    rotated = rows @ points
    inverse_distance = (pose.scale / pose.focal_px)[:, None, None]
    # The limit keeps points behind the camera finite.
    gain = (1 - inverse_distance * rotated[:, 2:]).clamp_min(0.05).reciprocal()
    relative = (rotated[:, :2] + (pose.offset_px / pose.scale[:, None])[..., None]) * gain
    return Projection(pose, rows, rotated, relative, gain, relative * inverse_distance)


def project(points: Tensor, pose: Pose) -> tuple[Tensor, Tensor, Tensor]:
    """Project points, with derivatives.

    Args:
        points: (B, L, 3) metres, head frame.
        pose: B poses.

    Returns:
        Pixels (B, L, 2); their derivatives by a pose step (B, L, 2, 6), see `Pose.moved`; and by the point in the
        head frame (B, L, 2, 3).
    """
    projection = projected(points.mT, pose)
    by_pose, by_point = (each.permute(0, 3, 2, 1) for each in (projection.by_pose(), projection.by_point()))
    return projection.image.mT, by_pose, by_point
