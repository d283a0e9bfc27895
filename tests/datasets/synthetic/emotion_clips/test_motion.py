"""Motions of synthetic clips, prototypes and planted labels."""

from __future__ import annotations

import numpy as np
import pytest

from smirk3d.datasets.synthetic.emotion_clips.clip_set import random_motions
from smirk3d.datasets.synthetic.emotion_clips.label_noise import CONFUSED, noisy_labels
from smirk3d.datasets.synthetic.emotion_clips.motion import HARDNESS, KEY_SHARE, N_FRAMES, NEUTRAL, random_motion
from smirk3d.datasets.synthetic.emotion_clips.prototypes import PROTOTYPES, random_prototype
from smirk3d.fer.action_units import action_units
from smirk3d.fer.emotions import EMOTIONS
from smirk3d.head.arkit import ARKIT_NAMES


def _rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("emotion", PROTOTYPES)
def test_a_prototype_shows_its_units(emotion: str) -> None:
    for seed in range(20):
        weights = random_prototype(emotion, _rng(seed))
        units = action_units(dict(zip(ARKIT_NAMES, weights.tolist())))
        for unit, (low, _) in PROTOTYPES[emotion].needed.items():
            assert units[unit] > 0.8 * low * (0.5 if unit == "AU26" else 1), unit


def test_contempt_is_on_one_side() -> None:
    units = action_units(dict(zip(ARKIT_NAMES, random_prototype("contempt", _rng()).tolist())))
    assert min(units["AU12_left"], units["AU12_right"]) == 0 < units["AU12"]


def test_all_emotions_have_a_prototype() -> None:
    assert {*PROTOTYPES, "neutral"} == set(EMOTIONS)


@pytest.mark.parametrize("kind", HARDNESS)
def test_the_key_expression_is_where_the_envelope_is_half(kind: str) -> None:
    for emotion in (1, 4):
        for seed in range(10):
            motion = random_motion(emotion, HARDNESS.index(kind), _rng(seed))
            first, last = motion.key
            assert 0 <= first < motion.apex[0] <= motion.apex[1] < last <= N_FRAMES - 1
            frame = np.arange(N_FRAMES)
            peak = motion.envelope.max()
            if peak > 0 and kind != "short":  # between frames a short apex may be missed
                assert (motion.envelope[(frame < first - 1) | (frame > last + 1)] < KEY_SHARE * peak).all()
                assert (motion.envelope[(frame > first + 1) & (frame < last - 1)] > 0.8 * KEY_SHARE * peak).all()


def test_a_faint_emotion_is_weak_and_a_long_distractor_does_not_hide_the_apex() -> None:
    faint = [random_motion(2, HARDNESS.index("faint"), _rng(k)).envelope.max() for k in range(20)]
    clear = [random_motion(2, HARDNESS.index("none"), _rng(k)).envelope.max() for k in range(20)]
    assert max(faint) < 0.4 < min(clear)
    for seed in range(20):
        motion = random_motion(2, HARDNESS.index("long_distractor"), _rng(seed))
        middle = round(sum(motion.apex) / 2)
        raised = motion.weights[middle, ARKIT_NAMES.index("browInnerUp")]
        assert raised > 0.5 * motion.envelope[middle]


def test_neutral_clips_have_no_emotion() -> None:
    motion = random_motion(NEUTRAL, 0, _rng())
    assert not motion.envelope.any() and np.isnan([*motion.apex, *motion.key]).all()


def test_motions_repeat_and_differ_by_seed() -> None:
    own, again, other = random_motions(16, 3), random_motions(16, 3), random_motions(16, 4)
    assert (own.weights == again.weights).all() and (own.weights != other.weights).any()
    assert np.bincount(own.emotion, minlength=8).tolist() == [2] * 8
    assert own.weights.min() >= 0 and own.weights.max() <= 1


def test_planted_labels_are_exact_and_follow_the_pairs() -> None:
    labels = np.arange(8000) % 8
    planted, is_wrong = noisy_labels(labels, 0.3, _rng())
    assert is_wrong.sum() == 2400 and ((planted != labels) == is_wrong).all()
    sad, neutral = EMOTIONS.index("sadness"), EMOTIONS.index(CONFUSED["sadness"])
    wrong = planted[is_wrong & (labels == sad)]
    assert (wrong == neutral).mean() > 0.45
    happy = planted[is_wrong & (labels == EMOTIONS.index("happiness"))]
    assert np.bincount(happy, minlength=8).max() < 0.3 * len(happy)


def test_without_noise_labels_stay() -> None:
    planted, is_wrong = noisy_labels(np.arange(8), 0.0, _rng())
    assert planted.tolist() == list(range(8)) and not is_wrong.any()
