"""Measures of the clip network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from smirk3d.evaluation.clip_baselines import FramePooling, PlainGru
from smirk3d.evaluation.clip_noise import auroc
from smirk3d.fer.clips.frame_features import N_FRAME_FEATURES
from smirk3d.fer.clips.predictor import SubClipPredictions
from smirk3d.train.clip_emotion.measures import key_errors, measures_of


def test_auroc_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    score, positive = rng.integers(0, 9, 200) / 8, rng.random(200) < 0.3
    assert auroc(score, positive) == pytest.approx(roc_auc_score(positive, score))


def test_recalls_and_confusion() -> None:
    label = np.array([0, 0, 0, 1])
    found = measures_of(np.eye(8)[[0, 0, 1, 1]], label)
    assert found.war == 75 and found.uar == pytest.approx(100 * (2 / 3 + 1) / 2)
    assert found.confusion[0, :2].tolist() == [2, 1] and found.confusion.sum() == 4


def test_key_errors_count_clips_with_a_key_expression() -> None:
    key = np.zeros((2, 32))
    key[:, 10:15] = 1
    found = SubClipPredictions(np.full((5, 2, 8), 1 / 8), key)
    apex, ends = np.array([[11.0, 13.0], [np.nan, np.nan]]), np.array([[9.5, 16.5], [np.nan, np.nan]])
    inside, error = key_errors(found, apex, ends)
    assert inside == 1 and error == pytest.approx((0 + 2) / 2, abs=1.1)
    assert key_errors(found, np.array([[20.0, 21.0]] * 2), np.array([[19.0, 22.0]] * 2))[0] == 0


@torch.no_grad()
def test_the_mean_of_frames_does_not_know_their_order() -> None:
    torch.manual_seed(0)
    clips = torch.randn(2, 24, N_FRAME_FEATURES)
    pooling, gru = FramePooling().eval(), PlainGru().eval()
    assert torch.allclose(pooling(clips).logits, pooling(clips.flip(1)).logits, atol=1e-5)
    assert not torch.allclose(gru(clips).logits, gru(clips.flip(1)).logits, atol=1e-4)
