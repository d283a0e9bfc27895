"""How much the sub-clips of a clip agree, and what follows for its label: clean, hard or noisy.

A clip whose sub-clips are classified alike, but not as its label, is probably mislabelled; one whose sub-clips are
classified differently is hard, and its label may well be right. The two are told apart by two numbers, not by one loss.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import rel_entr

VERDICTS: tuple[str, ...] = ("clean", "hard", "noisy")


def agreement(probabilities: np.ndarray) -> np.ndarray:
    """Return how much K distributions agree: 1 - JS(p_1 … p_K) / log K.

    JS is the generalised Jensen-Shannon divergence, the mean Kullback-Leibler divergence from their mean; its largest
    value is log K. Source: Lin, "Divergence Measures Based on the Shannon Entropy", IEEE T-IT 37(1), 1991, section IV.

    Args:
        probabilities: (K, N, C), K at least 2; the sums over C are 1.

    Returns:
        (N,) in [0, 1]; 1: all alike.
    """
    probabilities = np.asarray(probabilities, dtype=np.float64)
    mean = probabilities.mean(axis=0)
    divergence = rel_entr(probabilities, mean).sum(axis=2).mean(axis=0)
    return (1 - divergence / np.log(len(probabilities))).clip(0, 1)


@dataclass(frozen=True, eq=False)
class LabelEvidence:
    """Evidence of the predictions of N clips for or against their labels.

    Attributes:
        mean: (N, C) mean probabilities over sub-clips.
        agreement: (N,) see `agreement`.
        label: (N,) labels.
    """

    mean: np.ndarray
    agreement: np.ndarray
    label: np.ndarray

    @property
    def support(self) -> np.ndarray:
        """(N,) mean probability of the label."""
        return self.mean[np.arange(len(self.label)), self.label]

    @property
    def rival(self) -> np.ndarray:
        """(N,) mean probability of the most probable other class."""
        others = self.mean.copy()
        others[np.arange(len(self.label)), self.label] = -1
        return others.max(axis=1)

    @property
    def noise_score(self) -> np.ndarray:
        """(N,) in [-1, 1]: how much more the agreeing sub-clips support another class than the label."""
        return self.agreement * (self.rival - self.support)

    def verdicts(self, least: float = 0.1) -> np.ndarray:
        """Return (N,) indices of `VERDICTS`.

        Noisy: the noise score of the clip is that of the upper part of a mixture, see `noise_threshold`. Hard: not
        noisy, and the sub-clips disagree, or the label is not their first choice.

        Args:
            least: Of a noisy clip the noise score is larger than this, in [0, 0.6].
        """
        score = self.noise_score
        is_noisy = score > noise_threshold(score, least)
        is_hard = ~is_noisy & ((self.agreement < HARD_AGREEMENT) | (self.rival > self.support))
        return np.where(is_noisy, VERDICTS.index("noisy"), np.where(is_hard, VERDICTS.index("hard"), 0))


HARD_AGREEMENT = 0.85
"""Sub-clips of a hard clip agree less than this."""
MAX_THRESHOLD = 0.6
_EM_STEPS = 50


def noise_threshold(score: np.ndarray, least: float = 0.1) -> float:
    """Return the noise score at which both parts of a mixture of two normal distributions are equally probable.

    Source of the idea, with losses in place of scores: Arazo et al., "Unsupervised Label Noise Modeling and Loss
    Correction", ICML 2019. The mixture is fitted by expectation-maximisation.

    Args:
        score: (N,) noise scores in [-1, 1].
        least: Smallest result, in [0, 0.6].

    Returns:
        In [`least`, 0.6]: below, the label is still a rival of the first choice.
    """
    mean, std = np.array([-0.7, 0.5]), np.array([0.3, 0.3])
    share = np.array([0.8, 0.2])
    for _ in range(_EM_STEPS):
        part = _responsibility(score, mean, std, share)
        total = part.sum(axis=1) + 1e-9
        mean = (part @ score) / total
        std = np.sqrt((part * (score - mean[:, None]) ** 2).sum(axis=1) / total).clip(0.05)
        share = (total / total.sum()).clip(0.02)
    grid = np.linspace(least, MAX_THRESHOLD, 101)
    is_upper = _responsibility(grid, mean, std, share)[1] > 0.5
    return float(grid[is_upper.argmax()]) if is_upper.any() else MAX_THRESHOLD


def _responsibility(score: np.ndarray, mean: np.ndarray, std: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Return the probabilities (2, N) of the parts of the mixture."""
    scaled = (score - mean[:, None]) / std[:, None]
    density = share[:, None] / std[:, None] * np.exp(-0.5 * scaled**2) + 1e-12
    return density / density.sum(axis=0)
