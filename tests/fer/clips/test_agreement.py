"""Agreement of sub-clips, and clean, hard and noisy labels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from smirk3d.fer.clips.agreement import VERDICTS, LabelEvidence, agreement, noise_threshold


def _random(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(shape[-1]), shape[:-1])


def test_agreement_of_two_is_the_known_divergence() -> None:
    both = _random((2, 5, 8))
    wanted = 1 - jensenshannon(both[0], both[1], base=2, axis=1) ** 2
    assert agreement(both) == pytest.approx(wanted)


def test_the_limits() -> None:
    same = np.repeat(_random((1, 3, 8)), 5, axis=0)
    assert agreement(same) == pytest.approx(np.ones(3))
    apart = np.eye(5)[:, None]  # five sub-clips, five different classes
    assert agreement(apart) == pytest.approx([0.0])


def test_the_order_of_sub_clips_does_not_matter() -> None:
    some = _random((5, 4, 8))
    assert agreement(some) == pytest.approx(agreement(some[::-1]))


def test_verdicts_are_two_things() -> None:
    sure_right, sure_wrong, torn = np.eye(8)[0] * 0.9 + 0.0125, np.eye(8)[1] * 0.9 + 0.0125, np.full(8, 1 / 8)
    mean = np.stack([sure_right] * 60 + [sure_wrong] * 20 + [torn] * 20)
    agrees = np.array([0.95] * 80 + [0.5] * 20)
    verdicts = LabelEvidence(mean, agrees, np.zeros(100, dtype=int)).verdicts()
    names = [VERDICTS[k] for k in verdicts]
    assert names == ["clean"] * 60 + ["noisy"] * 20 + ["hard"] * 20


def test_disagreeing_sub_clips_are_not_noisy_however_they_vote() -> None:
    mean = np.stack([np.eye(8)[0] * 0.9 + 0.0125] * 50 + [np.array([0.3, 0.45, 0.25, 0, 0, 0, 0, 0])] * 10)
    evidence = LabelEvidence(mean, np.array([0.95] * 50 + [0.4] * 10), np.zeros(60, dtype=int))
    assert {VERDICTS[k] for k in evidence.verdicts()[50:]} == {"hard"}


def test_the_threshold_lies_between_both_parts() -> None:
    rng = np.random.default_rng(0)
    score = np.concatenate([rng.normal(-0.8, 0.15, 700), rng.normal(0.7, 0.15, 300)])
    assert 0.1 <= noise_threshold(score) <= 0.4
    assert noise_threshold(rng.normal(-0.8, 0.1, 500)) >= 0.1


def test_small_noise_scores_are_never_noisy() -> None:
    rng = np.random.default_rng(0)
    score = np.concatenate([rng.normal(-0.6, 0.3, 300), rng.normal(0.4, 0.3, 100)]).clip(-1, 1)
    assert noise_threshold(score) < noise_threshold(score, 0.3) and noise_threshold(score, 0.3) >= 0.3
