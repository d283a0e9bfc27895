"""The part of a crop that expression and shape are read from: upright, at one scale, about the face's middle."""

from __future__ import annotations

from dataclasses import dataclass

import roma
import torch
from torch import Tensor
from torch.nn import functional

Point = tuple[float, float, float]


@dataclass(frozen=True)
class Window:
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
        middle = self._turned_middle(rotmat)
        scale = camera[:, :1]
        at = scale * (middle[:, :2] + camera[:, 1:]) * pose.new_tensor([1.0, -1.0])
        # Where the head's up points in the picture, which has y downwards: the window's own up goes there.
        up = functional.normalize(rotmat[:, :2, 1], dim=1)
        linear = torch.stack([torch.stack([up[:, 1], -up[:, 0]], 1), torch.stack([up[:, 0], up[:, 1]], 1)], dim=1)
        return torch.cat([linear * (scale * self.half_m)[..., None], at[..., None]], dim=2)

    def look(self, pose: Tensor, camera: Tensor, place: Tensor) -> Tensor:
        """Return what windows show of pose and camera, (B, 6), the inverse of `told`.

        That is the rotation vector as seen by the rolled window, a tenth of the camera's scale in it, and where the
        middle is in it, x and y upwards. The latter, unlike tx and ty, hardly depends on the rotation.

        Args:
            pose: (B, 3) and camera (B, 3) of the crop. place: (B, 2, 3) from window to crop.
        """
        roll, size = _roll_and_size(place)
        turned = roma.quat_product(_about_z(roll), roma.rotvec_to_unitquat(pose))
        middle = self._turned_middle(roma.rotvec_to_rotmat(pose))
        at = camera[:, :1] * (middle[:, :2] + camera[:, 1:]) * pose.new_tensor([1.0, -1.0])
        within = torch.linalg.solve(place[:, :, :2], at - place[:, :, 2]) * pose.new_tensor([1.0, -1.0])
        return torch.cat([roma.unitquat_to_rotvec(turned), camera[:, :1] / size[:, None] / 10, within], dim=1)

    def told(self, said: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
        """Return pose (B, 3) and camera (B, 3) of crops, of whose windows (B, 2, 3) so much is said: (B, 6)."""
        roll, size = _roll_and_size(place)
        pose = roma.unitquat_to_rotvec(roma.quat_product(_about_z(-roll), roma.rotvec_to_unitquat(said[:, :3])))
        scale = said[:, 3:4] * size[:, None] * 10
        within = said[:, 4:] * said.new_tensor([1.0, -1.0])
        at = (place[:, :, :2] @ within[..., None])[..., 0] + place[:, :, 2]
        middle = self._turned_middle(roma.rotvec_to_rotmat(pose))
        shift = at * said.new_tensor([1.0, -1.0]) / scale - middle[:, :2]
        return pose, torch.cat([scale, shift], dim=1)

    def _turned_middle(self, rotmat: Tensor) -> Tensor:
        root = rotmat.new_tensor(self.root_m)
        return rotmat @ (rotmat.new_tensor(self.center_m) - root) + root

    def cut(self, crops: Tensor, place: Tensor) -> Tensor:
        """Return windows (B, 3, P, P) of crops (B, 3, S, S) at places (B, 2, 3); black outside of the crop."""
        steps = (torch.arange(self.size_px, device=crops.device, dtype=crops.dtype) * 2 + 1) / self.size_px - 1
        y, x = torch.meshgrid(steps, steps, indexing="ij")
        at = torch.stack([x, y, torch.ones_like(x)], dim=-1)  # (P, P, 3)
        grid = (at.view(1, -1, 3) @ place.transpose(1, 2)).view(-1, self.size_px, self.size_px, 2)
        return functional.grid_sample(crops, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _roll_and_size(place: Tensor) -> tuple[Tensor, Tensor]:
    """Return (B,) radians by which the head appears rolled to the left less in windows, and their half sides (B,)."""
    cosine, sine = place[:, 0, 0], place[:, 1, 0]
    return torch.atan2(sine, cosine), (cosine.square() + sine.square()).sqrt()


def _about_z(angle: Tensor) -> Tensor:
    """Return the unit quaternions (B, 4), XYZW, of angles (B,) about the axis towards the viewer."""
    zero = torch.zeros_like(angle)
    return torch.stack([zero, zero, (angle / 2).sin(), (angle / 2).cos()], dim=1)
