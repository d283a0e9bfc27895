"""Judgement of labels during the training: which clips are clean, hard or noisy, and what they weigh."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from smirk3d.fer.clips.agreement import VERDICTS, LabelEvidence, agreement
from smirk3d.fer.emotions import EMOTIONS
from smirk3d.train.clip_emotion.config import LabelReviewConfig

_HARD, _NOISY = VERDICTS.index("hard"), VERDICTS.index("noisy")


class LabelReview:
    """Moving averages of the predictions of N clips, and what follows from them.

    Args:
        label: (N,) labels as they were given; they are kept.
        config: Settings.
    """

    def __init__(self, label: np.ndarray, config: LabelReviewConfig) -> None:
        self.label, self._config = label, config
        self._mean: np.ndarray | None = None
        self._agreement = np.ones(len(label))
        self._n_noisy = np.zeros(len(label), dtype=np.int64)
        self.verdict = np.zeros(len(label), dtype=np.int64)

    def update(self, probabilities: np.ndarray) -> None:
        """Add the predictions of an epoch, (K, N, 8), and judge again."""
        mean, agrees = probabilities.mean(axis=0), agreement(probabilities)
        if self._mean is None:
            self._mean, self._agreement = mean, agrees
        else:
            decay = self._config.decay
            self._mean = decay * self._mean + (1 - decay) * mean
            self._agreement = decay * self._agreement + (1 - decay) * agrees
        self.verdict = self.evidence.verdicts(self._config.min_noise_score)
        self._n_noisy = np.where(self.verdict == _NOISY, self._n_noisy + 1, 0)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the averages and verdicts as tensors, for checkpoints."""
        n_classes = len(EMOTIONS)
        mean = np.full((len(self.label), n_classes), np.nan) if self._mean is None else self._mean
        arrays = {"mean": mean, "agreement": self._agreement, "n_noisy": self._n_noisy, "verdict": self.verdict}
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def load_state_dict(self, state_dict: Mapping[str, Tensor]) -> None:
        """Restore what `state_dict` has returned."""
        mean = state_dict["mean"].numpy()
        self._mean = None if np.isnan(mean).any() else mean
        self._agreement, self._n_noisy = state_dict["agreement"].numpy(), state_dict["n_noisy"].numpy()
        self.verdict = state_dict["verdict"].numpy()

    @property
    def evidence(self) -> LabelEvidence:
        """The averages so far.

        Raises:
            ValueError: There was no update.
        """
        if self._mean is None:
            raise ValueError("no predictions yet")
        return LabelEvidence(self._mean, self._agreement, self.label)

    @property
    def is_hard(self) -> np.ndarray:
        """(N,) bool."""
        return self.verdict == _HARD

    @property
    def weight(self) -> np.ndarray:
        """(N,) float32 weights of the clips; clean ones weigh 1."""
        by_verdict = np.ones(len(VERDICTS), dtype=np.float32)
        if self._config.enabled:
            by_verdict[_HARD], by_verdict[_NOISY] = self._config.hard_weight, self._config.noisy_weight
        return by_verdict[self.verdict]

    @property
    def shares(self) -> np.ndarray:
        """(N, 8) float32 soft labels; half of those of clips that stay noisy are their mean prediction."""
        given = np.eye(len(EMOTIONS), dtype=np.float32)[self.label]
        if not self._config.enabled or self._mean is None:
            return given
        is_relabelled = self._n_noisy >= self._config.relabel_after
        return np.where(is_relabelled[:, None], (given + self._mean) / 2, given).astype(np.float32)

    @property
    def mean(self) -> np.ndarray:
        """(N, 8) float32 mean predictions; the labels before the first update."""
        return np.eye(len(EMOTIONS), dtype=np.float32)[self.label] if self._mean is None else self._mean.astype("f4")
