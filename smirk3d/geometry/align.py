"""Rigid and similarity alignment of point sets."""

# The stubs of torch, NumPy and trimesh leave some types unknown; everything else is checked strictly.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Similarity:
    """The maps x -> scale * rotmat @ x + offset, of any batch shape.

    Attributes:
        scale: (...) float > 0.
        rotmat: (..., 3, 3) float, rotation matrices.
        offset: (..., 3) float, translations in the units of the target.
    """

    scale: Tensor
    rotmat: Tensor
    offset: Tensor

    def apply(self, points: Tensor) -> Tensor:
        """Map points.

        Args:
            points: (..., N, 3) float.

        Returns:
            (..., N, 3) float.
        """
        return self.scale[..., None, None] * points @ self.rotmat.mT + self.offset[..., None, :]


def align(source: Tensor, target: Tensor, weight: Tensor | None = None, scaled: bool = True) -> Similarity:
    """Return the similarity, or the rigid motion, that best maps source to target in weighted least squares.

    Args:
        source: (..., N, 3) float, points.
        target: (..., N, 3) float, the corresponding points.
        weight: (N,) or (..., N) float >= 0; all ones by default.
        scaled: Estimate the scale as well; False fixes it to 1.

    Returns:
        Similarity of batch shape (...).

    Source: Umeyama, "Least-Squares Estimation of Transformation Parameters Between Two Point Patterns" (1991).
    """
    weight = torch.ones_like(source[..., 0]) if weight is None else weight.expand(source.shape[:-1])
    weight = (weight / weight.sum(-1, keepdim=True)).unsqueeze(-1)
    mean_source, mean_target = (weight * source).sum(-2), (weight * target).sum(-2)
    a, b = source - mean_source.unsqueeze(-2), target - mean_target.unsqueeze(-2)
    weighted = weight * a
    u, singular, vh = torch.linalg.svd(b.mT @ weighted)
    # U Vᵀ may be a reflection; flipping the axis of the smallest singular value gives the best proper rotation.
    flip = torch.ones_like(singular)
    flip[..., 2] = (_determinant(u) * _determinant(vh)).sign()
    rotmat = (u * flip.unsqueeze(-2)) @ vh
    scale = torch.ones_like(singular[..., 0])
    if scaled:
        scale = (singular * flip).sum(-1) / (weighted * a).sum((-1, -2))
    offset = mean_target - scale.unsqueeze(-1) * (rotmat @ mean_source.unsqueeze(-1)).squeeze(-1)
    return Similarity(scale, rotmat, offset)


def _determinant(matrix: Tensor) -> Tensor:
    """Return the determinants (...) of matrices (..., 3, 3): the triple product, faster than a factorisation."""
    first, second, third = matrix.unbind(-2)
    return (torch.linalg.cross(first, second) * third).sum(-1)
