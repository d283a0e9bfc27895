"""The face window: an upright, scaled part of a crop about the face, and pose and camera relative to it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from smirk3d.geometry.rotations import quat_product, rotvec_to_rotmat, rotvec_to_unitquat, unitquat_to_rotvec

Point = tuple[float, float, float]
MEAN_POSE_CODE = (0.0, 0.0, 0.0, 1.18, 0.0, 0.162, 0.0, -0.0112, 0.1205, 0.0, -0.148, 0.0063, 1.0)
"""Pose code of the open head's mean face, frontal, in a window of the default size; see `FaceWindow.encode_pose`."""
POSE_CODE_FLIP_SIGNS = (1.0, -1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0, 1.0, -1.0, 1.0, 1.0, 1.0)
"""Factors that turn the pose code of a face into that of its horizontally flipped image."""


@dataclass(frozen=True, eq=False)
class FaceFrame:
    """Where the faces of B persons are on their heads, in the head frame, before posing.

    Attributes:
        center_m: (B, 3) float, centre of the face in metres.
        root_m: (B, 3) float, joint about which the head rotates, in metres.
        relative_size: (B, 1) float > 0, size of the face over that of the mean face.
    """

    center_m: Tensor
    root_m: Tensor
    relative_size: Tensor

    def posed_center_m(self, pose: Tensor) -> Tensor:
        """Return the centres of the posed faces.

        Args:
            pose: (B, 3) float, rotation vectors in radians.

        Returns:
            (B, 3) float, metres.
        """
        return (rotvec_to_rotmat(pose) @ (self.center_m - self.root_m)[..., None])[..., 0] + self.root_m


@dataclass(frozen=True)
class FaceWindow:
    """A square of fixed size on the head, about a point of the face, upright in the image.

    The defaults are those of the open head and its packaged encoder.

    Attributes:
        size_px: Side of the extracted window in pixels, at least 1; 96 to 128 is usual.
        half_m: Half of the side in metres on the head, > 0.
        center_m: Centre of the window, metres, head frame.
        root_m: Joint about which the head rotates, metres, head frame.

    Raises:
        ValueError: A size is not positive, or a place is not of three finite numbers.
    """

    size_px: int = 112
    half_m: float = 0.085
    center_m: Point = (0.0, -0.025, 0.128)
    root_m: Point = (0.0, -0.1558, 0.0073)

    def __post_init__(self) -> None:
        if self.size_px < 1 or not self.half_m > 0:
            raise ValueError(f"size_px and half_m must be positive, not {self.size_px} and {self.half_m}")
        for name, place in (("center_m", self.center_m), ("root_m", self.root_m)):
            if len(place) != 3 or not all(isinstance(value, int | float) and math.isfinite(value) for value in place):
                raise ValueError(f"{name} must be three finite numbers, not {place!r:.60}")

    def affine_from_pose(self, pose: Tensor, camera: Tensor) -> Tensor:
        """Return the transforms from windows to their crops.

        Args:
            pose: (B, 3) float, rotation vectors in radians.
            camera: (B, 3) float, scale, tx and ty of the crop's scaled orthographic camera.

        Returns:
            (B, 2, 3) float, from window to crop coordinates; both are NDC in [-1, 1], x right, y down.
        """
        rotmat = rotvec_to_rotmat(pose)
        root = pose.new_tensor(self.root_m)
        center = rotmat @ (pose.new_tensor(self.center_m) - root) + root
        scale = camera[:, :1]
        translation = scale * (center[:, :2] + camera[:, 1:]) * pose.new_tensor([1.0, -1.0])
        # The head's up axis in the image plane. Images have y down, so the columns below rotate (0, -1), the
        # window's own up, onto it.
        up = functional.normalize(rotmat[:, :2, 1], dim=1)
        linear = torch.stack([torch.stack([up[:, 1], -up[:, 0]], 1), torch.stack([up[:, 0], up[:, 1]], 1)], dim=1)
        return torch.cat([linear * (scale * self.half_m)[..., None], translation[..., None]], dim=2)

    def encode_pose(self, pose: Tensor, camera: Tensor, affine: Tensor, face: FaceFrame) -> Tensor:
        """Express pose and camera relative to windows, as the pose code that the second regression predicts.

        Under a scaled orthographic camera, size and distance of a head are ambiguous: a large head far away looks
        like a small one that is near. An image determines how large the face appears and where its centre is; scale,
        tx and ty follow from these and from the position of the face on this person's head. The columns are:

        - 0 to 2: rotation vector as the rolled window shows it, radians;
        - 3: a tenth of the camera's scale in the window times the relative size of the face;
        - 4 to 5: centre of the face in the window, NDC, x right and y up;
        - 6 to 8: centre of the face, 9 to 11: root joint, both in metres in the head frame;
        - 12: relative size of the face.

        Args:
            pose: (B, 3) float, rotation vectors in radians.
            camera: (B, 3) float, scale, tx and ty of the crop.
            affine: (B, 2, 3) float, window to crop, see `affine_from_pose`.
            face: Frames of the B faces.

        Returns:
            (B, 13) float.
        """
        # A rotation of the image is a rotation of the head about the optical axis.
        roll, half_side = _roll_and_half_side(affine)
        rotation = quat_product(_about_z(roll), rotvec_to_unitquat(pose))
        flip_y = pose.new_tensor([1.0, -1.0])
        in_crop = camera[:, :1] * (face.posed_center_m(pose)[:, :2] + camera[:, 1:]) * flip_y
        in_window = torch.linalg.solve(affine[:, :, :2], in_crop - affine[:, :, 2]) * flip_y
        apparent_size = camera[:, :1] * face.relative_size / half_side[:, None] / 10
        frame = (face.center_m, face.root_m, face.relative_size)
        return torch.cat([unitquat_to_rotvec(rotation), apparent_size, in_window, *frame], dim=1)

    def decode_pose(self, pose_code: Tensor, affine: Tensor) -> tuple[Tensor, Tensor]:
        """Return pose and camera of crops from pose codes; the inverse of `encode_pose`.

        Args:
            pose_code: (B, 13) float, see `encode_pose`.
            affine: (B, 2, 3) float, window to crop.

        Returns:
            Pose (B, 3), rotation vectors in radians, and camera (B, 3), scale, tx and ty of the crop.
        """
        rotvec, apparent_size, in_window, center_m, root_m, relative_size = pose_code.split((3, 1, 2, 3, 3, 1), dim=1)
        roll, half_side = _roll_and_half_side(affine)
        pose = unitquat_to_rotvec(quat_product(_about_z(-roll), rotvec_to_unitquat(rotvec)))
        # First the scale, then the shift that projects the centre of the face to its place in the crop.
        scale = 10 * apparent_size * half_side[:, None] / relative_size
        flip_y = pose_code.new_tensor([1.0, -1.0])
        in_crop = (affine[:, :, :2] @ (in_window * flip_y)[..., None])[..., 0] + affine[:, :, 2]
        shift = in_crop * flip_y / scale - FaceFrame(center_m, root_m, relative_size).posed_center_m(pose)[:, :2]
        return pose, torch.cat([scale, shift], dim=1)

    def extract(self, crops: Tensor, affine: Tensor) -> Tensor:
        """Resample windows from crops, bilinearly.

        Args:
            crops: (B, 3, S, S) float.
            affine: (B, 2, 3) float, window to crop.

        Returns:
            (B, 3, P, P) float with P = `size_px`; 0 (black) outside the crop.
        """
        # Pixel centres of the window, as `grid_sample` with align_corners=False expects them.
        steps = (torch.arange(self.size_px, device=crops.device, dtype=crops.dtype) * 2 + 1) / self.size_px - 1
        y, x = torch.meshgrid(steps, steps, indexing="ij")
        homogeneous = torch.stack([x, y, torch.ones_like(x)], dim=-1)  # (P, P, 3)
        grid = (homogeneous.view(1, -1, 3) @ affine.transpose(1, 2)).view(-1, self.size_px, self.size_px, 2)
        return functional.grid_sample(crops, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def perturb_roi(affine: Tensor, turn_deg: float, shift: float) -> Tensor:
    """Rotate and shift windows, for test-time augmentation.

    Args:
        affine: (B, 2, 3) float, window to crop, NDC in [-1, 1], y down.
        turn_deg: Clockwise rotation of the windows in degrees; a few degrees are sensible.
        shift: Shift to the right, as the old windows show it, in half sides; a few hundredths are sensible.

    Returns:
        (B, 2, 3) float, new window to crop.
    """
    cosine, sine = math.cos(math.radians(turn_deg)), math.sin(math.radians(turn_deg))
    linear = affine[:, :, :2]
    rotated = linear @ affine.new_tensor([[cosine, -sine], [sine, cosine]])
    return torch.cat([rotated, affine[:, :, 2:] + shift * linear[:, :, :1]], dim=2)


def _roll_and_half_side(affine: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rotation of windows in their crops, (B,) radians, and half of their sides, (B,) NDC of the crop.

    A head appears rolled to its left by this angle less in the window than in the crop.
    """
    cosine, sine = affine[:, 0, 0], affine[:, 1, 0]
    return torch.atan2(sine, cosine), (cosine.square() + sine.square()).sqrt()


def _about_z(angle: Tensor) -> Tensor:
    """Return the unit quaternions (B, 4), XYZW, of rotations by angles (B,) about the axis towards the viewer."""
    zero = torch.zeros_like(angle)
    return torch.stack([zero, zero, (angle / 2).sin(), (angle / 2).cos()], dim=1)
