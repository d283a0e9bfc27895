"""What an expression does to chosen places of a head, as rows of numbers that can be compared between heads."""

from __future__ import annotations

import torch
from torch import Tensor

from smirk3d.head.model import HeadModel
from smirk3d.head.retargeting.vertex_subset import vertex_subset
from smirk3d.params import FaceParams

MM_PER_M = 1e3
EYEBALL_RADIUS_MM = 12.0
"""A gaze counts as its eyeball's surface moving on this radius."""
EYE_WEIGHT = 0.02
"""Share of each eyeball in the places that are compared."""
GAZE_FEATURES = 6
"""The last entries of a row, three for each eye."""


class DeformationFeatures:
    """The deformation of N vertices of a head, and its gaze.

    Rows have 3 N + 6 entries. Their square sum is the mean square of the vertices' offsets in mm², plus
    `EYE_WEIGHT` times that of the eyeballs' surfaces.

    Args:
        head: the model. index: (N,) int64 vertices.
    """

    def __init__(self, head: HeadModel, index: Tensor) -> None:
        self.part = HeadModel(vertex_subset(head.data, index), head.n_shape, head.n_expression)
        self.count = len(index)

    def __call__(self, params: FaceParams) -> Tensor:
        """Return the rows (B, 3 N + 6) of expression, jaw, eyelids and eyes; pose and neck have no say.

        The neutral face of the same person is taken off. `params` has fields (B, ...).
        """
        params = params.replace(pose=None, neck=None, camera=None)
        shaped = self.part.shaped(params.shape)
        expressed = self.part.expressed(shaped, params)
        moved = self.part.posed(expressed, params).vertices
        offsets = (moved - shaped.vertices)[..., : self.count, :]
        gaze = self.part.joint_rotvec(expressed.expression, params)[..., 3:, :]
        return self.rows(offsets, gaze.expand(*offsets.shape[:-2], 2, 3))

    def rows(self, offsets: Tensor, gaze_rotvec: Tensor) -> Tensor:
        """Return the rows (B, 3 N + 6) of offsets (B, N, 3) in metres and turned eyes (B, 2, 3) in radians."""
        surface = offsets.flatten(-2) * (MM_PER_M / self.count**0.5)
        return torch.cat([surface, gaze_rotvec.flatten(-2) * (EYEBALL_RADIUS_MM * EYE_WEIGHT**0.5)], dim=-1)
