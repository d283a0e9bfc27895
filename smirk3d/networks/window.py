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
        root = pose.new_tensor(self.root_m)
        middle = rotmat @ (pose.new_tensor(self.center_m) - root) + root
        scale = camera[:, :1]
        at = scale * (middle[:, :2] + camera[:, 1:]) * pose.new_tensor([1.0, -1.0])
        # Where the head's up points in the picture, which has y downwards: the window's own up goes there.
        up = functional.normalize(rotmat[:, :2, 1], dim=1)
        linear = torch.stack([torch.stack([up[:, 1], -up[:, 0]], 1), torch.stack([up[:, 0], up[:, 1]], 1)], dim=1)
        return torch.cat([linear * (scale * self.half_m)[..., None], at[..., None]], dim=2)

    def cut(self, crops: Tensor, place: Tensor) -> Tensor:
        """Return windows (B, 3, P, P) of crops (B, 3, S, S) at places (B, 2, 3); black outside of the crop."""
        steps = (torch.arange(self.size_px, device=crops.device, dtype=crops.dtype) * 2 + 1) / self.size_px - 1
        y, x = torch.meshgrid(steps, steps, indexing="ij")
        at = torch.stack([x, y, torch.ones_like(x)], dim=-1)  # (P, P, 3)
        grid = (at.view(1, -1, 3) @ place.transpose(1, 2)).view(-1, self.size_px, self.size_px, 2)
        return functional.grid_sample(crops, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
