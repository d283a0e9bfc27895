"""Initial linear layers of a branch by ridge regression of the targets on its features.

It saves the thousands of steps in which random layers learn little.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from smirk3d.train.recipes.branch_data import BranchBatch
from smirk3d.train.tasks.regression_network import RegressionNetwork

RIDGE = 0.3
"""Ridge penalty, in units of the mean square of a feature."""
PRINCIPAL_STEPS = 10
"""Batches of the principal component analysis of the last feature map."""


@torch.no_grad()
def ridge_init(network: RegressionNetwork, batch_of: Callable[[int], BranchBatch], steps: int) -> None:
    """Reduce the last feature map to its principal components and initialise the linear layers by ridge regression.

    Args:
        network: Changed in place; in eval mode afterwards.
        batch_of: Returns the batch of a step; the first ones are used.
        steps: Number of batches of the regression.
    """
    network.train(False)
    _reduce_to_principal_components(network, batch_of)
    coefficients, count = ridge_regression(network, batch_of, steps), network.branch.linear.out_features
    set_linear(network.branch.linear, coefficients[:count])
    set_linear(network.landmarks, coefficients[count:])


def set_linear(linear: nn.Linear, coefficients: Tensor) -> None:
    """Set weights and biases (N, D + 1), in place."""
    linear.weight.copy_(coefficients[:, :-1])
    linear.bias.copy_(coefficients[:, -1])


def _reduce_to_principal_components(network: RegressionNetwork, batch_of: Callable[[int], BranchBatch]) -> None:
    branch, device = network.branch, network.landmarks.weight.device
    assert isinstance(branch.narrow, nn.Sequential)
    maps = torch.cat([branch.encoder(batch_of(step).images.to(device)) for step in range(PRINCIPAL_STEPS)])
    values = maps.movedim(1, -1).flatten(0, 2)
    mean = values.mean(0)
    # A quarter of the positions is enough for the directions, where there are many.
    stride = max(1, min(4, len(values) // (4 * values.shape[1])))
    _, strength, directions = torch.linalg.svd((values - mean)[::stride], full_matrices=False)
    conv, norm = branch.narrow
    assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None and norm.running_var is not None
    deviation = strength[: conv.out_channels, None] / math.sqrt(len(values) / stride)
    conv.weight.copy_((directions[: conv.out_channels] / deviation)[:, :, None, None])
    norm.running_mean.copy_(conv.weight[:, :, 0, 0] @ mean)
    norm.running_var.fill_(1.0)


def ridge_regression(network: RegressionNetwork, batch_of: Callable[[int], BranchBatch], steps: int) -> Tensor:
    """Return coefficients (N + 956, D + 1) of targets and landmarks, regressed on the features and 1."""
    branch, device = network.branch, network.landmarks.weight.device
    gram = cross = torch.zeros((), dtype=torch.float64)
    for step in range(steps):
        batch = batch_of(step)
        features = branch.features(batch.images.to(device)).cpu()
        features = torch.cat([features, torch.ones(len(features), 1)], 1).double()
        wanted = torch.cat([batch.target, batch.landmarks.flatten(1)], 1).double()
        weighted = features * batch.weight[:, None]
        gram, cross = gram + weighted.T @ features, cross + weighted.T @ wanted
    penalty = RIDGE * gram.diagonal()[:-1].mean() * torch.ones(len(gram), dtype=torch.float64)
    penalty[-1] = 0.0  # the intercept is not penalised
    return torch.linalg.solve(gram + torch.diag(penalty), cross).float().T
