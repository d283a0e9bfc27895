"""Recall by class, confidence intervals of its differences, and how well a number separates two classes."""

from __future__ import annotations

import numpy as np


def recall_by_class(prediction: np.ndarray, label: np.ndarray, n_classes: int) -> np.ndarray:
    """Return the recall of each class; their mean is the balanced accuracy.

    Source of the mean: Brodersen et al., "The Balanced Accuracy and Its Posterior Distribution", ICPR 2010.

    Args:
        prediction: (N,) int in [0, n_classes).
        label: (N,) int in [0, n_classes).
        n_classes: Number of classes.

    Returns:
        (n_classes,) float in [0, 1], NaN for a class that does not occur.
    """
    correct = [prediction[label == k] == k for k in range(n_classes)]
    return np.array([each.mean() if each.size else np.nan for each in correct])


def recall_gain_interval(
    gain: np.ndarray, label: np.ndarray, group: np.ndarray, *, seed: int, resamples: int = 2000
) -> np.ndarray:
    """Return the 95 % interval of the difference of two methods' balanced recalls.

    Cluster bootstrap: persons are redrawn with replacement, not faces, because faces of one person are not
    independent. Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993.

    Args:
        gain: (N,) how much more often the one method is right on a face than the other, in [-1, 1].
        label: (N,) int, the classes.
        group: (N,) int, the persons.
        seed: Of the resampling.
        resamples: Bootstrap samples; 1,000 or more.

    Returns:
        (2,) the 2.5 % and the 97.5 % points.
    """
    random = np.random.default_rng(seed)
    _, group = np.unique(group, return_inverse=True)
    n_groups, n_classes = group.max() + 1, label.max() + 1
    total, count = np.zeros((n_groups, n_classes)), np.zeros((n_groups, n_classes))
    np.add.at(total, (group, label), gain)
    np.add.at(count, (group, label), 1)
    draws = random.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=resamples).astype(float)
    return np.percentile(((draws @ total) / (draws @ count).clip(1)).mean(axis=1), (2.5, 97.5))


def area_under_roc(high: np.ndarray, low: np.ndarray) -> float:
    """Return the area under the ROC curve: how often a value of one set exceeds one of the other; ties count half.

    Source: Hanley and McNeil, "The Meaning and Use of the Area under a Receiver Operating Characteristic (ROC)
    Curve", Radiology 143, 1982.

    Args:
        high: (N,) values that should be higher.
        low: (M,) values that should be lower.

    Returns:
        In [0, 1], 0.5 by chance; NaN where a set is empty.
    """
    if not len(high) or not len(low):
        return float("nan")
    ordered = np.sort(low)
    below = np.searchsorted(ordered, high, side="left")
    up_to = np.searchsorted(ordered, high, side="right")
    return float((below + up_to).mean() / (2 * len(low)))
