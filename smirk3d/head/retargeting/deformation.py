"""Deformation features: the effect of an expression on a head, in a form that can be compared between heads."""

from __future__ import annotations

import torch
from torch import Tensor

from smirk3d.head.model import HeadModel
from smirk3d.head.retargeting.vertex_subset import vertex_subset
from smirk3d.params import FaceParams

MM_PER_M = 1e3
EYEBALL_RADIUS_MM = 12.0
"""Radius by which a rotation of the eyeball is converted to a motion of its surface."""
EYE_WEIGHT = 0.02
"""Weight of each eyeball relative to all compared vertices together."""
GAZE_FEATURES = 6
"""Number of gaze features, the last ones: a rotation vector for each eye."""


class DeformationFeatures:
    """Features (3 N + 6) of the deformation of N vertices of a head and of its gaze.

    The squared norm of the features is the mean squared offset of the vertices in mm², plus `EYE_WEIGHT` times that of
    the surfaces of the eyeballs.

    Args:
        head: The model.
        index: (N,) int64 vertices that are compared.
    """

    def __init__(self, head: HeadModel, index: Tensor) -> None:
        self.head = HeadModel(vertex_subset(head.data, index), head.n_shape, head.n_expression)
        self.count = len(index)

    def __call__(self, params: FaceParams) -> Tensor:
        """Return the features of expression, jaw, eyelids and eyes, relative to the neutral face of the same person.

        Args:
            params: Fields (B, ...); pose, neck and camera are ignored.

        Returns:
            (B, 3 N + 6) features in millimetres.
        """
        params = params.replace(pose=None, neck=None, camera=None)
        shaped = self.head.shaped(params.shape)
        expressed = self.head.expressed(shaped, params)
        posed = self.head.posed(expressed, params).vertices
        offsets = (posed - shaped.vertices)[..., : self.count, :]
        gaze = self.head.joint_rotvec(expressed.expression, params)[..., 3:, :]
        return self.features(offsets, gaze.expand(*offsets.shape[:-2], 2, 3))

    def features(self, offsets: Tensor, gaze_rotvec: Tensor) -> Tensor:
        """Return the features of given offsets and eye rotations.

        Args:
            offsets: (B, N, 3) offsets of the vertices, metres.
            gaze_rotvec: (B, 2, 3) rotation vectors of the left and right eye, radians.

        Returns:
            (B, 3 N + 6) features in millimetres.
        """
        # Square roots of the weights, so that squared norms add up as the class states.
        surface = offsets.flatten(-2) * (MM_PER_M / self.count**0.5)
        return torch.cat([surface, gaze_rotvec.flatten(-2) * (EYEBALL_RADIUS_MM * EYE_WEIGHT**0.5)], dim=-1)
