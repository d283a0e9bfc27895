"""Rendered people with new motions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from smirk3d.datasets.synthetic.emotion_clips.clip_set import random_motions
from smirk3d.train.clip_emotion.clip_set import ClipSet
from smirk3d.train.clip_emotion.reanimated_clips import FrameModel, reanimated_clips


@pytest.fixture(scope="module")
def slope() -> np.ndarray:
    return np.random.default_rng(3).normal(0, 0.3, (52, 308))


@pytest.fixture(scope="module")
def model(slope: np.ndarray) -> FrameModel:
    """Of clips whose features are linear, but for a constant of each person and small noise."""
    truth, rng = random_motions(96, 5), np.random.default_rng(4)
    person, noise = rng.normal(0, 1, (96, 1, 308)), 0.01 * rng.normal(0, 1, (96, 32, 308))
    features = np.concatenate([truth.weights @ slope + person + noise, np.zeros((96, 32, 3))], axis=2)
    names = tuple(map(str, range(96)))
    clips = ClipSet(torch.from_numpy(features).float(), torch.from_numpy(truth.emotion), torch.zeros(96, 2), names)
    return FrameModel(clips, truth)


def test_slopes_are_found_beside_differences_of_people(model: FrameModel, slope: np.ndarray) -> None:
    weights = random_motions(96, 6).weights
    wanted, found = (weights @ each for each in (slope, model.slope))
    assert np.corrcoef(wanted.ravel(), found.ravel())[0, 1] > 0.97
    assert model.remainder.std(axis=1).mean() < 0.1 * model.remainder.std()


def test_new_motions_show_in_the_features(model: FrameModel, slope: np.ndarray) -> None:
    clips, truth = reanimated_clips(model, 32, 7)
    wanted = truth.weights @ slope[:, :256]
    wanted, found = (each - each.mean(1, keepdims=True) for each in (wanted, clips.features[..., :256].numpy()))
    assert np.corrcoef(wanted.ravel(), found.ravel())[0, 1] > 0.95
    assert clips.label.tolist() == [k % 8 for k in range(32)]
    read = clips.features[..., 256:308]
    assert read.min() >= 0 and read.max() <= 1


def test_the_seed_decides(model: FrameModel) -> None:
    first, again, other = (reanimated_clips(model, 8, seed)[0].features for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
