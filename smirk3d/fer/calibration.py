"""Calibration of emotion probabilities: temperature scaling and its measure."""

from __future__ import annotations

import torch
from torch import Tensor

ECE_BINS = 15
TEMPERATURE_RANGE = (0.05, 20.0)
"""Temperatures beyond these belong to logits without information on the labels."""


def fit_temperature(logits: Tensor, shares: Tensor) -> float:
    """Return the temperature at which the cross entropy with the votes is lowest.

    Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.

    Args:
        logits: (N, 8) of faces that were not learned from.
        shares: (N, 8) their votes, or one-hot labels.

    Returns:
        In `TEMPERATURE_RANGE`.
    """
    log_temperature = torch.zeros((), dtype=torch.float64, requires_grad=True)
    logits, shares = logits.double(), shares.double()
    optimizer = torch.optim.LBFGS([log_temperature], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> float:
        optimizer.zero_grad()
        loss = -(shares * (logits / log_temperature.exp()).log_softmax(1)).sum(1).mean()
        loss.backward()
        return float(loss.detach())

    optimizer.step(closure)
    low, high = TEMPERATURE_RANGE
    return min(max(float(log_temperature.detach().exp()), low), high)


def expected_calibration_error(probabilities: Tensor, label: Tensor, bins: int = ECE_BINS) -> float:
    """Return the mean difference of confidence and accuracy over bins of confidence of equal width.

    Source: Naeini et al., "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015.

    Args:
        probabilities: (N, C).
        label: (N,) int64.
        bins: Number of bins.

    Returns:
        In [0, 1].
    """
    confidence, predicted = probabilities.max(1)
    correct = (predicted == label).double()
    index = (confidence * bins).long().clamp(max=bins - 1)
    gap = torch.zeros(bins, dtype=torch.float64)
    gap.index_add_(0, index, confidence.double() - correct)
    return float(gap.abs().sum() / len(label))
