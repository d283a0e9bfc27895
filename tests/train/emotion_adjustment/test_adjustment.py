"""The adjustment: what it does to proportions, the balanced optimum, and the choice of its strength."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from smirk3d.train.emotion_adjustment.adjustment import adjustment_of, choose_strength
from smirk3d.train.emotion_adjustment.config import AdjustmentConfig, AdjustmentDataConfig

SHARES = (0.49, 0.48, 0.03)


def _rare_class(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Exact logits and labels of three normal classes with means on the axes; the last one is rare."""
    random = np.random.default_rng(seed)
    label = random.choice(3, count, p=SHARES)
    vectors = torch.tensor(1.5 * np.eye(3)[label] + random.normal(size=(count, 3)), dtype=torch.float32)
    return 1.5 * vectors + torch.tensor(SHARES).log(), torch.eye(3)[torch.from_numpy(label)]


def test_frequent_classes_keep_their_proportion() -> None:
    logits, votes = _rare_class(2000, seed=0)
    added = adjustment_of(votes, 0.7)
    assert added[0] == added[1] == 0 and added[2] > 1
    before, after = logits.softmax(1), (logits + added).softmax(1)
    assert torch.allclose(before[:, 0] / before[:, 1], after[:, 0] / after[:, 1], rtol=1e-4)
    assert adjustment_of(votes, 0.0).abs().max() == 0


def test_the_full_adjustment_gives_a_rare_class_the_recall_that_it_has_at_equal_frequencies() -> None:
    logits, votes = _rare_class(40_000, seed=1)
    label = votes.argmax(1)

    def recall_of_the_rare(scores: Tensor) -> float:
        return float((scores[label == 2].argmax(1) == 2).float().mean())

    equal = recall_of_the_rare(logits - torch.tensor(SHARES).log())  # the posterior at equal frequencies
    assert recall_of_the_rare(logits + adjustment_of(votes, 1.0)) == pytest.approx(equal, abs=0.06)
    assert recall_of_the_rare(logits) < equal - 0.2


def test_the_choice_keeps_to_the_cost() -> None:
    logits, votes = _rare_class(6000, seed=3)
    strengths = (0.2, 0.4, 0.6, 0.8, 1.0)
    none, some, most = (choose_strength(logits, votes, strengths, cost) for cost in (0.0, 1.0, 100.0))
    assert none.strength <= some.strength < most.strength
    assert none.after["uar"] <= some.after["uar"] < most.after["uar"]
    assert some.after["war"] >= some.before["war"] - 1.0


def test_values_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="strengths"):
        AdjustmentConfig(data=AdjustmentDataConfig("x"), strengths=(1.5,))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="part"):
        AdjustmentConfig(data=AdjustmentDataConfig("x"), part=0)  # type: ignore[arg-type]
