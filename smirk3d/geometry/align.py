"""Rigid and similarity alignment of point sets."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Similarity:
    """The map x -> scale * rotmat x + offset.

    Attributes:
        scale: (...). rotmat: (..., 3, 3). offset: (..., 3).
    """

    scale: Tensor
    rotmat: Tensor
    offset: Tensor

    def apply(self, points: Tensor) -> Tensor:
        """Map points (..., N, 3)."""
        return self.scale[..., None, None] * points @ self.rotmat.mT + self.offset[..., None, :]


def align(source: Tensor, target: Tensor, weight: Tensor | None = None, scaled: bool = True) -> Similarity:
    """Return the similarity (or, with `scaled=False`, the rigid motion) that best maps source to target.

    Args:
        source: (..., N, 3) points. target: (..., N, 3) points. weight: (N,) or (..., N), all ones by default.
        scaled: estimate a scale as well.

    Source: Umeyama, "Least-squares estimation of transformation parameters", 1991.
    """
    weight = torch.ones_like(source[..., 0]) if weight is None else weight.expand(source.shape[:-1])
    weight = (weight / weight.sum(-1, keepdim=True)).unsqueeze(-1)
    mean_source, mean_target = (weight * source).sum(-2), (weight * target).sum(-2)
    a, b = source - mean_source.unsqueeze(-2), target - mean_target.unsqueeze(-2)
    u, singular, vh = torch.linalg.svd(b.mT @ (weight * a))
    flip = torch.ones_like(singular)
    flip[..., 2] = torch.det(u @ vh).sign()
    rotmat = (u * flip.unsqueeze(-2)) @ vh
    scale = torch.ones_like(singular[..., 0])
    if scaled:
        scale = (singular * flip).sum(-1) / (weight * a * a).sum((-1, -2))
    offset = mean_target - scale.unsqueeze(-1) * (rotmat @ mean_source.unsqueeze(-1)).squeeze(-1)
    return Similarity(scale, rotmat, offset)
