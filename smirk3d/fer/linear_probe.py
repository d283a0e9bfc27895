"""Multinomial logistic regression on features, the linear probe of representation learning."""

from __future__ import annotations

import numpy as np
import torch

MIN_FACES = 20
"""Faces of a class below which its recall is chance."""
RIDGE = 1e-3
MAX_ITERATIONS = 200


def fit_probe(x: torch.Tensor, label: torch.Tensor, penalty: float = RIDGE) -> torch.Tensor:
    """Fit multinomial logistic regression with class weights, by L-BFGS.

    Every class has the same total weight, so that the fit maximises the balanced likelihood. Source: Alain and
    Bengio, "Understanding Intermediate Layers Using Linear Classifier Probes", ICLR Workshops 2017.

    Args:
        x: (N, K) float64 standardised features.
        label: (N,) int64 in [0, C); each class occurs.
        penalty: Factor of the sum of squares of the coefficients, without the intercepts; 1e-4 to 1e-1.

    Returns:
        (K + 1, C) float64: the intercepts, then the coefficients of the features.
    """
    count = torch.bincount(label)
    weight = torch.zeros(x.shape[1] + 1, len(count), dtype=torch.float64, requires_grad=True)
    share = 1 / count.double()
    optimizer = torch.optim.LBFGS([weight], max_iter=MAX_ITERATIONS, line_search_fn="strong_wolfe")

    def closure() -> float:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(x @ weight[1:] + weight[0], label, share / share.sum())
        loss = loss + penalty * weight[1:].square().sum()
        loss.backward()
        return float(loss.detach())

    optimizer.step(closure)
    return weight.detach()


def probe_predictions(features: np.ndarray, label: np.ndarray, test_features: np.ndarray) -> np.ndarray:
    """Fit a probe to training features and classify test features; see `fit_probe`.

    Args:
        features: (N, K) training features; they are standardised here.
        label: (N,) int in [0, C); each class occurs.
        test_features: (M, K).

    Returns:
        (M,) int in [0, C), the predicted classes.
    """
    mean, std = features.mean(axis=0), features.std(axis=0) + 1e-6
    x, test = (torch.from_numpy((part - mean) / std).double() for part in (features, test_features))
    weight = fit_probe(x, torch.from_numpy(label))
    return (test @ weight[1:] + weight[0]).argmax(dim=1).numpy()
