"""The coefficients with which a head shows a wanted deformation."""

from __future__ import annotations

import torch
from torch import Tensor

from smirk3d.head.retargeting.deformation import GAZE_FEATURES, DeformationFeatures
from smirk3d.params import FaceParams

INDEPENDENT_PATCHES = 40
"""Independent places that the face is worth: neighbouring vertices err together."""
NOISE_MM = 0.2
"""How exactly a head is to follow the actions when they are carried over to it."""
JAW_STD_RAD = 0.2
EYELID_STD = 0.5
FINITE_DIFFERENCE_STEP = 0.05
"""Step of the difference quotients."""
ITERATIONS = 8


class CoefficientSolver:
    """Finds expression, jaw and eyelids of a head for ARKit weights: Gauss-Newton steps with a fixed Jacobian.

    Args:
        deformation: of the head. actions: (52, R) rows that the 52 actions are to have.
    """

    def __init__(self, deformation: DeformationFeatures, actions: Tensor) -> None:
        self._deformation, self._actions = deformation, actions
        data, n_expression = deformation.part.data, deformation.part.n_expression
        self._sizes, std = {"expression": n_expression}, [torch.ones(n_expression)]
        if data.jaw_readout is None:
            self._sizes["jaw"] = 3
            std.append(torch.full((3,), JAW_STD_RAD))
        if data.eyelids_after_skinning:
            self._sizes["eyelids"] = 2
            std.append(torch.full((2,), EYELID_STD))
        count = sum(self._sizes.values())
        self._jacobian = deformation(self._params(torch.eye(count) * FINITE_DIFFERENCE_STEP)) / FINITE_DIFFERENCE_STEP
        self._prior = NOISE_MM**2 / INDEPENDENT_PATCHES / torch.cat(std) ** 2
        hessian = self._jacobian @ self._jacobian.T + torch.diag(self._prior)
        self._inverse = torch.linalg.inv(hessian.double()).float()

    def __call__(self, weights: Tensor) -> dict[str, Tensor]:
        """Return the parameters (B, ...) by name for weights (B, 52)."""
        wanted = weights @ self._actions
        theta = weights.new_zeros(len(weights), len(self._prior))
        for _ in range(ITERATIONS):
            missing = wanted - self._deformation(self._params(theta))
            missing[:, -GAZE_FEATURES:] = 0.0  # the eyes are turned as they are told
            theta = theta + (missing @ self._jacobian.T - theta * self._prior) @ self._inverse
            if "eyelids" in self._sizes:
                theta[:, -2:].clamp_(0, 1)
        return dict(self._params(theta).items())

    def _params(self, theta: Tensor) -> FaceParams:
        return FaceParams(**dict(zip(self._sizes, theta.split(list(self._sizes.values()), dim=-1))))
