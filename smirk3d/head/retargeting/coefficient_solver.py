"""Solver for the coefficients with which a head reproduces given deformations."""

from __future__ import annotations

import torch
from torch import Tensor

from smirk3d.head.retargeting.deformation import GAZE_FEATURES, DeformationFeatures
from smirk3d.params import FaceParams

INDEPENDENT_PATCHES = 40
"""Effective number of independent measurements on a face: the errors of neighbouring vertices are correlated."""
NOISE_MM = 0.2
"""Standard deviation of the deformation around the transferred blendshapes."""
JAW_STD_RAD = 0.2
"""Prior standard deviation of each entry of the jaw's rotation vector; expression coefficients have 1."""
EYELID_STD = 0.5
"""Prior standard deviation of the closing of an eyelid."""
FINITE_DIFFERENCE_STEP = 0.05
"""Step of the finite differences, in units of the coefficients."""
ITERATIONS = 8
"""Gauss-Newton iterations; the problem is linear except for rotations, and converges in fewer."""


class CoefficientSolver:
    """Finds expression, jaw and eyelids of a head for ARKit weights by maximum a posteriori estimation.

    Gauss-Newton iterations with the Jacobian and Hessian at zero, which are factorised once.

    Args:
        deformation: Deformation features of the head, R of them.
        blendshape_features: (52, R) features that the ARKit blendshapes should have on this head.
    """

    def __init__(self, deformation: DeformationFeatures, blendshape_features: Tensor) -> None:
        self._deformation, self._blendshape_features = deformation, blendshape_features
        data, n_expression = deformation.head.data, deformation.head.n_expression
        self._sizes, std = {"expression": n_expression}, [torch.ones(n_expression)]
        if data.jaw_readout is None:
            self._sizes["jaw"] = 3
            std.append(torch.full((3,), JAW_STD_RAD))
        if data.eyelids_after_skinning:
            self._sizes["eyelids"] = 2
            std.append(torch.full((2,), EYELID_STD))
        count = sum(self._sizes.values())
        self._jacobian = deformation(self._params(torch.eye(count) * FINITE_DIFFERENCE_STEP)) / FINITE_DIFFERENCE_STEP
        # Prior precision relative to that of the features: noise variance over the number of independent measurements
        # (the features are already a mean over the vertices), divided by the prior variance.
        self._prior = NOISE_MM**2 / INDEPENDENT_PATCHES / torch.cat(std) ** 2
        hessian = self._jacobian @ self._jacobian.T + torch.diag(self._prior)
        # The Hessian is positive definite thanks to the prior, and small (about 100 rows): it is inverted once for all
        # frames.
        self._inverse = torch.linalg.inv(hessian.double()).float()

    def __call__(self, weights: Tensor) -> dict[str, Tensor]:
        """Return the coefficients that reproduce weighted blendshapes.

        Args:
            weights: (B, 52) ARKit weights in [0, 1].

        Returns:
            "expression" (B, E) and, where the head has them, "jaw" (B, 3) in radians and "eyelids" (B, 2) in [0, 1].
        """
        target = weights @ self._blendshape_features
        theta = weights.new_zeros(len(weights), len(self._prior))
        for _ in range(ITERATIONS):
            residual = target - self._deformation(self._params(theta))
            residual[:, -GAZE_FEATURES:] = 0.0  # eye rotations are transferred directly
            theta = theta + (residual @ self._jacobian.T - theta * self._prior) @ self._inverse
            # Projection onto the range of the eyelids in each iteration.
            if "eyelids" in self._sizes:
                theta[:, -2:].clamp_(0, 1)
        return dict(self._params(theta).items())

    def _params(self, theta: Tensor) -> FaceParams:
        return FaceParams(**dict(zip(self._sizes, theta.split(list(self._sizes.values()), dim=-1))))
