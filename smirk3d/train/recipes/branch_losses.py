"""Losses of the branches of the windowed encoder on their raw outputs."""

from __future__ import annotations

import math

import roma
import torch
from torch import Tensor

from smirk3d.geometry.camera import project_orthographic
from smirk3d.head.arkit import ARKIT_MIRROR
from smirk3d.head.model import HeadModel
from smirk3d.networks.face_window import MEAN_POSE_CODE, FaceWindow
from smirk3d.params import FaceParams
from smirk3d.train.recipes.branch_data import BranchSampler

CODE_SIZE = len(MEAN_POSE_CODE)
VARIANCE_FLOOR = 0.003
"""Added to the variance of sums and differences; bounds the weight of blendshapes that hardly occur."""
_LANDMARK_STRIDE = 6
"""Every sixth landmark is enough for the reprojection error."""


class BranchLoss:
    """Loss of one branch against its target.

    Args:
        branch: "pose", "shape" or "expression".
        head: The open head.
        window: The window that shape and expression are read from.
        basis: (52, 52) orthonormal basis in which expression errors are weighted.
        scale: (52,) weights in that basis.
    """

    def __init__(self, branch: str, head: HeadModel, window: FaceWindow, basis: Tensor, scale: Tensor) -> None:
        self.branch, self.window, self.basis, self.scale = branch, window, basis, scale
        self._neutral = head.landmark_embedding("mediapipe").points(head.v_template, head.faces)
        with torch.no_grad():
            shapes = head(FaceParams(shape=torch.eye(head.n_shape))).landmarks("mediapipe")
        self._shape_points = (shapes - self._neutral).flatten(1)

    @staticmethod
    def for_sampler(sampler: BranchSampler) -> BranchLoss:
        """Make the loss of a training run, weighted by the statistics of its first 20 batches."""
        options, basis = sampler.options, side_basis()
        scale = torch.ones(len(ARKIT_MIRROR))
        if options.branch == "expression" and not options.whiten_sides:
            basis = torch.eye(len(ARKIT_MIRROR))
        elif options.branch == "expression":
            target = torch.cat([sampler.batch(step).target for step in range(20)])
            both = torch.cat([target, target[:, list(ARKIT_MIRROR)]])
            variance = (both @ basis.T).var(0) + VARIANCE_FLOOR
            scale = (1 / variance) / (1 / variance).mean()
        return BranchLoss(options.branch, sampler.head, sampler.window, basis, scale)

    def regression(self, prediction: Tensor, target: Tensor, known: Tensor | None = None) -> Tensor:
        """Return the error (B,) of raw outputs (B, N) of the branch against targets (B, N).

        Args:
            prediction: Raw outputs.
            target: Wanted outputs.
            known: (B, N) bool, which outputs of an expression branch count; None: all.
        """
        if self.branch == "pose":
            return self._pose_error(prediction, target)
        if self.branch == "shape":
            return self._shape_error(prediction, target)
        return self._expression_error(prediction, target, known)

    @staticmethod
    def consistency(prediction: Tensor, augmented: Tensor) -> Tensor:
        """Return the temporal consistency loss (B,) of raw expressions (B, 52) of a face in two frames."""
        # Unweighted: in the whitened basis of the sides, differences between left and right would be unlearned first.
        return 20 * (prediction - augmented).square().mean(1)

    def change(self, prediction: Tensor, changed: Tensor, true_change: Tensor) -> Tensor:
        """Return the error (B,) of the change between raw expressions (B, 52) of two pictures of a face.

        An unknown expression that both pictures share cancels out.
        """
        return 20 * (((changed - prediction - true_change) @ self.basis.T).square() * self.scale).mean(1)

    def _expression_error(self, prediction: Tensor, target: Tensor, known: Tensor | None) -> Tensor:
        # `bounded` clamps the output to [0, 1]: beyond a bound that is the target there is no error.
        is_clamped = ((prediction < 0) & (target <= 0)) | ((prediction > 1) & (target >= 1))
        ignored = is_clamped if known is None else is_clamped | ~known
        residual = torch.where(ignored, 0.0, prediction - target)
        return 20 * ((residual @ self.basis.T).square() * self.scale).mean(1)

    def _shape_error(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the error (B,) of shapes, mostly in millimetres of the landmarks, and of pose codes."""
        residual = prediction[:, :-CODE_SIZE] - target[:, :-CODE_SIZE]
        points_mm = residual @ self._shape_points * 1000
        shape = 0.3 * (points_mm.square().mean(1) + 0.02 * residual.square().mean(1))
        return shape + self._code_error(prediction[:, -CODE_SIZE:], target[:, -CODE_SIZE:])

    def _code_error(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the error (B,) of pose codes (B, 13) of the mean face; the shape determines the actual one."""
        mean = torch.tensor(MEAN_POSE_CODE)[6:].expand(len(prediction), -1)
        upright = torch.eye(2, 3).expand(len(prediction), -1, -1)
        poses = [
            torch.cat(self.window.decode_pose(torch.cat([each[:, :6].clamp(-3, 3), mean], 1), upright), 1)
            for each in (prediction, target)
        ]
        return self._pose_error(*poses) + 200 * (prediction[:, 4:6] - target[:, 4:6]).square().sum(1)

    def _pose_error(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the error (B,) of poses and cameras (B, 6): reprojection of the mean face, and rotation vectors."""
        projected = [self._projected(each) for each in (prediction, target)]
        reprojection = (projected[0] - projected[1]).square().sum(2).mean(1)
        return 100 * reprojection + 10 * (prediction[:, :3] - target[:, :3]).square().sum(1)

    def _projected(self, pose_camera: Tensor) -> Tensor:
        """Return points (B, 80, 2) of the mean face in crops of poses and cameras (B, 6)."""
        root = pose_camera.new_tensor(self.window.root_m)
        posed = (self._neutral[::_LANDMARK_STRIDE] - root) @ roma.rotvec_to_rotmat(pose_camera[:, :3]).mT + root
        return project_orthographic(posed, pose_camera[:, 3:])[..., :2]


def side_basis() -> Tensor:
    """Return the orthonormal basis (52, 52) of normalised sums and differences of left and right blendshapes.

    One-sided expressions are rare: without a weight of its own an error of a difference would hardly count.
    """
    basis = torch.eye(len(ARKIT_MIRROR))
    for k, partner in enumerate(ARKIT_MIRROR):
        if k < partner:
            basis[k, k] = basis[k, partner] = basis[partner, k] = math.sqrt(0.5)
            basis[partner, partner] = -math.sqrt(0.5)
    return basis
