"""The part of a crop that expression and shape are read from: upright, at one scale, about the face's middle."""

from __future__ import annotations

import math
from dataclasses import dataclass

import roma
import torch
from torch import Tensor
from torch.nn import functional

Point = tuple[float, float, float]
MEAN_POSE_CODE = (0.0, 0.0, 0.0, 1.18, 0.0, 0.18, 0.0, -0.0097, 0.1287, 0.0, -0.1558, 0.0073, 1.0)
"""What a window of the usual size shows of the open head's mean face that looks straight ahead."""
POSE_CODE_FLIP_SIGNS = (1.0, -1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0, 1.0, -1.0, 1.0, 1.0, 1.0)
"""Signs of a look at the mirror image."""


@dataclass(frozen=True, eq=False)
class FaceFrame:
    """Where the faces of B people are on their heads, unposed.

    Attributes:
        middle_m: (B, 3) metres, a point in the middle of the face. root_m: (B, 3) the joint about which the head turns.
        size: (B, 1) of the face over that of the mean face.
    """

    middle_m: Tensor
    root_m: Tensor
    size: Tensor

    def posed_middle_m(self, pose: Tensor) -> Tensor:
        """Return the middles (B, 3) when the heads have turned by rotation vectors (B, 3)."""
        return (roma.rotvec_to_rotmat(pose) @ (self.middle_m - self.root_m)[..., None])[..., 0] + self.root_m


@dataclass(frozen=True)
class FaceWindow:
    """A square about a point of the head, as large and as upright as pose and camera say.

    Attributes:
        size_px: Pixels a side.
        half_m: Half of the side in metres on the head.
        center_m: The point, head frame. root_m: The joint about which the head turns. Of the open head.

    Raises:
        ValueError: A size is not positive.
    """

    size_px: int = 112
    half_m: float = 0.085
    center_m: Point = (0.0, -0.025, 0.128)
    root_m: Point = (0.0, -0.1558, 0.0073)

    def __post_init__(self) -> None:
        if self.size_px < 1 or not self.half_m > 0:
            raise ValueError(f"size_px and half_m must be positive, not {self.size_px} and {self.half_m}")

    def place(self, pose: Tensor, camera: Tensor) -> Tensor:
        """Return where windows are in their crops, (B, 2, 3), from window to crop, both in [-1, 1], y downwards.

        Args:
            pose: (B, 3) rotation vector, radians. camera: (B, 3) scale, tx, ty of the crop.
        """
        rotmat = roma.rotvec_to_rotmat(pose)
        root = pose.new_tensor(self.root_m)
        middle = rotmat @ (pose.new_tensor(self.center_m) - root) + root
        scale = camera[:, :1]
        at = scale * (middle[:, :2] + camera[:, 1:]) * pose.new_tensor([1.0, -1.0])
        # Where the head's up points in the picture, which has y downwards: the window's own up goes there.
        up = functional.normalize(rotmat[:, :2, 1], dim=1)
        linear = torch.stack([torch.stack([up[:, 1], -up[:, 0]], 1), torch.stack([up[:, 0], up[:, 1]], 1)], dim=1)
        return torch.cat([linear * (scale * self.half_m)[..., None], at[..., None]], dim=2)

    def look(self, pose: Tensor, camera: Tensor, place: Tensor, person: FaceFrame) -> Tensor:
        """Return what windows show of pose and camera, (B, 13), the inverse of `told`.

        Camera and identity explain each other: a large head far away looks like a small one that is near. What a
        picture tells for certain is how large a face appears in it and where its middle is; scale, tx and ty follow
        from these and from where the face is on this person's head. So the columns are: the rotation vector as the
        rolled window sees it (3); a tenth of the camera's scale in the window times the face's size (1); where the
        face's middle is in the window, x to the right and y upwards (2); middle (3), root (3) and size (1).

        Args:
            pose: (B, 3) and camera (B, 3) of the crop. place: (B, 2, 3) from window to crop. person: Of B people.
        """
        roll, half = _roll_and_half(place)
        turned = roma.quat_product(_about_z(roll), roma.rotvec_to_unitquat(pose))
        up = pose.new_tensor([1.0, -1.0])
        at = camera[:, :1] * (person.posed_middle_m(pose)[:, :2] + camera[:, 1:]) * up
        within = torch.linalg.solve(place[:, :, :2], at - place[:, :, 2]) * up
        apparent = camera[:, :1] * person.size / half[:, None] / 10
        known = (person.middle_m, person.root_m, person.size)
        return torch.cat([roma.unitquat_to_rotvec(turned), apparent, within, *known], dim=1)

    def told(self, said: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
        """Return pose (B, 3) and camera (B, 3) of crops, of whose windows (B, 2, 3) a look says so much: (B, 13)."""
        rotvec, apparent, within, middle_m, root_m, size = said.split((3, 1, 2, 3, 3, 1), dim=1)
        roll, half = _roll_and_half(place)
        pose = roma.unitquat_to_rotvec(roma.quat_product(_about_z(-roll), roma.rotvec_to_unitquat(rotvec)))
        scale = 10 * apparent * half[:, None] / size
        up = said.new_tensor([1.0, -1.0])
        at = (place[:, :, :2] @ (within * up)[..., None])[..., 0] + place[:, :, 2]
        shift = at * up / scale - FaceFrame(middle_m, root_m, size).posed_middle_m(pose)[:, :2]
        return pose, torch.cat([scale, shift], dim=1)

    def cut(self, crops: Tensor, place: Tensor) -> Tensor:
        """Return windows (B, 3, P, P) of crops (B, 3, S, S) at places (B, 2, 3); black outside of the crop."""
        steps = (torch.arange(self.size_px, device=crops.device, dtype=crops.dtype) * 2 + 1) / self.size_px - 1
        y, x = torch.meshgrid(steps, steps, indexing="ij")
        at = torch.stack([x, y, torch.ones_like(x)], dim=-1)  # (P, P, 3)
        grid = (at.view(1, -1, 3) @ place.transpose(1, 2)).view(-1, self.size_px, self.size_px, 2)
        return functional.grid_sample(crops, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def perturb_roi(place: Tensor, turn_deg: float, shift: float) -> Tensor:
    """Return places (B, 2, 3) of windows beside others.

    Args:
        place: (B, 2, 3) from window to crop, both in [-1, 1], y downwards.
        turn_deg: By which the new windows are turned clockwise.
        shift: By how many half sides they lie farther to the right, as the old ones see it.
    """
    cosine, sine = math.cos(math.radians(turn_deg)), math.sin(math.radians(turn_deg))
    linear = place[:, :, :2]
    turned = linear @ place.new_tensor([[cosine, -sine], [sine, cosine]])
    return torch.cat([turned, place[:, :, 2:] + shift * linear[:, :, :1]], dim=2)


def _roll_and_half(place: Tensor) -> tuple[Tensor, Tensor]:
    """Return (B,) radians by which the head appears rolled to the left less in windows, and their half sides (B,)."""
    cosine, sine = place[:, 0, 0], place[:, 1, 0]
    return torch.atan2(sine, cosine), (cosine.square() + sine.square()).sqrt()


def _about_z(angle: Tensor) -> Tensor:
    """Return the unit quaternions (B, 4), XYZW, of angles (B,) about the axis towards the viewer."""
    zero = torch.zeros_like(angle)
    return torch.stack([zero, zero, (angle / 2).sin(), (angle / 2).cos()], dim=1)
