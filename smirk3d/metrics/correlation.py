"""Numbers that several measures need."""

from __future__ import annotations

import numpy as np

LEAST_STD = 1e-6
"""What varies less over the faces does not vary."""


def correlations(guess: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the correlation of each column over the faces.

    Args:
        guess: (N, K). truth: (N, K).

    Returns:
        (K,) float64 in [-1, 1]: 0 where the guess never changes, NaN where the truth never does.

    Raises:
        ValueError: The two differ in shape.
    """
    if guess.shape != truth.shape:
        raise ValueError(f"shapes {guess.shape} and {truth.shape} do not belong together")
    a, b = (values.astype(np.float64) - values.mean(0, dtype=np.float64) for values in (guess, truth))
    std_a, std_b = np.sqrt((a**2).mean(0)), np.sqrt((b**2).mean(0))
    found = np.full(guess.shape[1], np.nan)
    varies = std_b > LEAST_STD
    found[varies] = 0.0
    both = varies & (std_a > LEAST_STD)
    found[both] = (a * b).mean(0)[both] / (std_a * std_b)[both]
    return found


def mean_of_known(values: np.ndarray) -> float:
    """Return the mean of the numbers that are not NaN; NaN where there are none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
