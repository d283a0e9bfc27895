"""Wrong labels, planted: any other emotion, or one with which raters confuse the true one."""

from __future__ import annotations

import numpy as np

from smirk3d.fer.emotions import EMOTIONS

CONFUSED: dict[str, str] = {
    "sadness": "neutral",
    "neutral": "sadness",
    "fear": "surprise",
    "surprise": "fear",
    "anger": "disgust",
    "disgust": "anger",
}
"""Pairs that raters confuse; the other emotions have no such partner."""


def noisy_labels(
    labels: np.ndarray, share: float, rng: np.random.Generator, confused: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """Replace some labels by wrong ones.

    Args:
        labels: (N,) indices of `EMOTIONS`.
        share: Share of labels that become wrong, in [0, 1].
        rng: All randomness.
        confused: Share of the wrong labels that follow `CONFUSED` where the emotion has a partner; the others are
            drawn from all other emotions alike.

    Returns:
        (N,) int64 labels, and (N,) bool, which are wrong.
    """
    labels = np.asarray(labels, dtype=np.int64)
    is_wrong = np.zeros(len(labels), dtype=bool)
    is_wrong[rng.permutation(len(labels))[: round(share * len(labels))]] = True
    symmetric = (labels + rng.integers(1, len(EMOTIONS), len(labels))) % len(EMOTIONS)
    partner = np.array([EMOTIONS.index(CONFUSED[name]) if name in CONFUSED else -1 for name in EMOTIONS])[labels]
    follows = (rng.random(len(labels)) < confused) & (partner >= 0)
    return np.where(is_wrong, np.where(follows, partner, symmetric), labels), is_wrong
