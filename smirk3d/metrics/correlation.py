"""Pearson correlation by column, and means that leave out what is not defined."""

from __future__ import annotations

import numpy as np

MIN_STD = 1e-6
"""Columns with a smaller standard deviation count as constant."""


def correlations(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return Pearson's correlation of each column over the rows.

    r = cov(prediction, truth) / (std(prediction) std(truth)), computed in float64; source: Pearson, "Note on
    Regression and Inheritance in the Case of Two Parents", Proc. R. Soc. 58, 1895.

    Args:
        prediction: (N, K) float.
        truth: (N, K) float.

    Returns:
        (K,) float64 in [-1, 1]: 0 where the prediction is constant, NaN where the ground truth is.

    Raises:
        ValueError: The two differ in shape.
    """
    if prediction.shape != truth.shape:
        raise ValueError(f"prediction {prediction.shape} and truth {truth.shape} must have the same shape")
    a, b = (values.astype(np.float64) - values.mean(0, dtype=np.float64) for values in (prediction, truth))
    std_a, std_b = np.sqrt((a**2).mean(0)), np.sqrt((b**2).mean(0))
    correlation = np.full(prediction.shape[1], np.nan)
    varies = std_b > MIN_STD
    correlation[varies] = 0.0
    both = varies & (std_a > MIN_STD)
    correlation[both] = (a * b).mean(0)[both] / (std_a * std_b)[both]
    return correlation


def mean_of_known(values: np.ndarray) -> float:
    """Return the mean of the values that are not NaN.

    Args:
        values: (K,) float, NaN where a value is not defined.

    Returns:
        The mean; NaN where no value is defined.
    """
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
