"""Losses, judgement of labels and the training loop of the clip network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from smirk3d.fer.clips.frame_features import N_FRAME_FEATURES
from smirk3d.fer.clips.network import ClipPrediction
from smirk3d.fer.clips.predictor import sub_clip_predictions
from smirk3d.train.clip_emotion.clip_set import ClipSet
from smirk3d.train.clip_emotion.config import ClipTrainConfig, LabelReviewConfig
from smirk3d.train.clip_emotion.fit import fit_clip_network
from smirk3d.train.clip_emotion.label_review import LabelReview
from smirk3d.train.clip_emotion.losses import ClipTargets, clip_losses, key_target

CONFIG = ClipTrainConfig(kind="clips", epochs=8, batch_size=16, held=0, review=LabelReviewConfig(warm_up=4))


def _clips(count: int = 96, seed: int = 0) -> ClipSet:
    """Clips whose class is which feature rises for a while."""
    generator = torch.Generator().manual_seed(seed)
    label = torch.arange(count) % 8
    features = torch.zeros(count, 32, N_FRAME_FEATURES)
    features[..., 256:264] = 0.3 * torch.randn(count, 32, 8, generator=generator)
    first = torch.randint(4, 18, (count,), generator=generator)
    frame = torch.arange(32)
    shown = ((frame >= first[:, None]) & (frame <= first[:, None] + 8)).float()
    shown[label == 0] = 0
    features[torch.arange(count)[:, None], frame, 256 + label[:, None]] += 3 * shown
    key = torch.stack([first, first + 8], 1).float()
    key[label == 0] = float("nan")
    return ClipSet(features, label, key, tuple(str(k) for k in range(count)))


@pytest.fixture(scope="module")
def noisy() -> tuple[ClipSet, np.ndarray]:
    clips = _clips(160)
    wrong = np.random.default_rng(0).permutation(160)[:40]
    label = clips.label.numpy().copy()
    label[wrong] = (label[wrong] + 3) % 8
    is_wrong = np.zeros(160, dtype=bool)
    is_wrong[wrong] = True
    return clips.relabelled(label), is_wrong


def test_it_learns_emotions_and_key_expressions() -> None:
    fitted = fit_clip_network(_clips(160), CONFIG)
    test = _clips(64, seed=1)
    found = sub_clip_predictions(fitted.network, test.features)
    assert (found.mean.argmax(1) == test.label.numpy()).mean() > 0.8
    has_key = test.label.numpy() != 0
    middle = found.key_spans[has_key, 1]
    assert np.abs(middle - test.key[has_key].mean(1).numpy()).mean() < 2


def test_wrong_labels_are_found(noisy: tuple[ClipSet, np.ndarray]) -> None:
    clips, is_wrong = noisy
    review = fit_clip_network(clips.without_keys(), CONFIG).review
    score = review.evidence.noise_score
    assert score[is_wrong].mean() > score[~is_wrong].mean() + 0.2
    assert review.weight[is_wrong].mean() < review.weight[~is_wrong].mean()


def test_a_run_repeats_exactly() -> None:
    config = replace(CONFIG, epochs=2)
    first, again = (fit_clip_network(_clips(32), config).network.state_dict() for _ in range(2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    other = fit_clip_network(_clips(32), replace(config, seed=1)).network.state_dict()
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_verdicts_change_weights_and_targets() -> None:
    label = np.array([0] * 30 + [1] * 10)
    config = LabelReviewConfig(relabel_after=2)
    review = LabelReview(label, config)
    assert (review.weight == 1).all() and (review.shares.argmax(1) == label).all()
    sure = np.full((5, 40, 8), 0.01)
    sure[:, :, 0] = 0.93  # the last ten are labelled 1
    review.update(sure)
    assert review.weight[-1] == pytest.approx(config.noisy_weight) and review.weight[0] == 1
    assert review.shares[-1].argmax() == 1
    review.update(sure)
    assert review.shares[-1, 0] == pytest.approx(0.465, abs=1e-3) and review.shares[-1, 1] > 0.5
    assert (review.label == label).all()
    off = LabelReview(label, LabelReviewConfig(enabled=False))
    off.update(sure)
    assert (off.weight == 1).all() and (off.shares.argmax(1) == label).all()


def _prediction(frame_logits: torch.Tensor) -> ClipPrediction:
    count, length = frame_logits.shape[:2]
    zeros = torch.zeros(count, length)
    return ClipPrediction(torch.zeros(count, 8), torch.zeros(count, 8), frame_logits, zeros, zeros[:, 0], zeros[:, 0])


def _targets(label: torch.Tensor, key: torch.Tensor, weight: torch.Tensor | None = None) -> ClipTargets:
    count = len(label)
    positions = torch.arange(24.0).expand(count, -1)
    shares = torch.eye(8)[label]
    weight = torch.ones(count) if weight is None else weight
    return ClipTargets(shares, weight, label, key, positions, shares, torch.zeros(count, dtype=torch.bool))


def test_where_the_key_expression_is() -> None:
    unknown = torch.full((3, 2), float("nan"))
    logits = torch.zeros(3, 24, 8)
    logits[:, 10:14, 2] = 5
    estimated = key_target(_prediction(logits), _targets(torch.tensor([2, 0, 3]), unknown))
    assert estimated[0, 12] == 1 and estimated[0, 0] == 0
    assert estimated[1].isnan().all()  # neutral has none
    known = _targets(torch.tensor([2, 2, 2]), torch.tensor([[3.5, 6.0]] * 3))
    assert key_target(_prediction(logits), known)[0].nonzero()[:, 0].tolist() == [4, 5, 6]


def test_weights_scale_the_loss_of_a_clip() -> None:
    logits = torch.zeros(2, 24, 8)
    key = torch.full((2, 2), float("nan"))
    predicted = _prediction(logits)._replace(
        logits=torch.tensor([[9.0, 0, 0, 0, 0, 0, 0, 0], [9.0, 0, 0, 0, 0, 0, 0, 0]])
    )
    label = torch.tensor([0, 1])
    both = clip_losses(predicted, _targets(label, key), CONFIG)["clip"]
    right = clip_losses(predicted, _targets(label, key, torch.tensor([1.0, 0.0])), CONFIG)["clip"]
    assert right < 0.01 < both
