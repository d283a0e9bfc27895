"""Losses of the transformer engine."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from smirk3d.head.landmark_indices import EYE_LEFT, EYE_RIGHT, IRIS_LEFT, IRIS_RIGHT, LIPS_INNER, LIPS_OUTER
from smirk3d.reenactment.transformer.keypoints import DENSE, grid_positions, influences

SOFT = 0.01
"""Difference of colours from which the loss grows linearly."""
_DETAILS = {*LIPS_INNER, *LIPS_OUTER, *EYE_RIGHT, *EYE_LEFT, *IRIS_RIGHT, *IRIS_LEFT}
_COLUMNS = [k for k, landmark in enumerate(DENSE) if landmark in _DETAILS]


def face_weight(dense: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return how near pixels are to the face, and to eyes and mouth, each (B, S, S) in [0, 1].

    Args:
        dense: (B, K, 2) keypoints.
        size: S; a multiple of 4.
    """
    influence = influences(grid_positions(size // 4, dense.device), dense)
    both = torch.stack([influence.sum(2), influence[:, :, _COLUMNS].sum(2)], dim=1)
    fine = interpolate(both.unflatten(2, (size // 4, size // 4)), size=(size, size), mode="bilinear")
    return fine[:, 0], fine[:, 1]


def color_loss(shown: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Return the weighted mean difference of colours (B, 3, S, S), squared where small (Charbonnier)."""
    difference = ((shown - truth).square() + SOFT**2).sqrt().mean(1) - SOFT
    return (difference * weight).sum() / weight.sum()


def edge_loss(shown: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Return the weighted mean difference of the steps between neighbouring pixels, over x and y."""
    difference = shown - truth
    x, y = difference.diff(dim=3).abs().mean(1), difference.diff(dim=2).abs().mean(1)
    total = (x * weight[:, :, 1:]).sum() + (y * weight[:, 1:]).sum()
    return total / weight.sum()


def regularisation(first: Tensor, second: Tensor) -> Tensor:
    """Return terms on expression codes of two versions of faces, (B, L) each.

    Versions of a face shall agree, values shall vary between faces, and not repeat each other.

    Source: Bardes et al., "VICReg" (ICLR 2022), with the weights of FSRT: invariance 1, deviation 0.2, covariance 1.
    """
    invariance = (first - second).square().mean()
    total = invariance
    for values in (first, second):
        centered = values - values.mean(0)
        deviation = (centered.square().mean(0) + 1e-4).sqrt()
        covariance = centered.T @ centered / max(len(values) - 1, 1)
        apart = covariance.square().sum() - covariance.diagonal().square().sum()
        total = total + 0.5 * (0.2 * (1 - deviation).clamp_min(0).mean() + apart / values.shape[1])
    return total
