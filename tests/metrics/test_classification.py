"""Recall by class and the interval of its gain."""

import numpy as np
import pytest

from smirk3d.metrics.classification import area_under_roc, recall_by_class, recall_gain_interval


def test_a_class_that_does_not_occur_has_no_recall():
    assert np.isnan(recall_by_class(np.array([0, 1]), np.array([0, 0]), 3)).tolist() == [False, True, True]


def test_the_interval_of_a_constant_gain_is_that_gain():
    label, group = np.array([0, 1, 0, 1] * 10), np.repeat(np.arange(20), 2)
    low, high = recall_gain_interval(np.full(40, 0.25), label, group, seed=0)
    assert low == high == 0.25


def test_the_interval_widens_where_faces_of_a_person_agree():
    gain, label = np.tile([1.0, 1.0, -1.0, -1.0], 50), np.arange(200) % 2
    faces, persons = (recall_gain_interval(gain, label, np.arange(200) // size, seed=0) for size in (1, 2))
    assert faces[0] < 0 < faces[1] and persons[0] < 0 < persons[1]
    assert np.ptp(persons) > 1.2 * np.ptp(faces)


def test_area_under_roc_counts_pairs() -> None:
    random = np.random.default_rng(0)
    high, low = random.integers(2, 9, 40) / 10, random.integers(0, 7, 30) / 10
    pairs = [(a > b) + 0.5 * (a == b) for a in high for b in low]
    assert area_under_roc(high, low) == pytest.approx(np.mean(pairs))
    assert area_under_roc(low, high) == pytest.approx(1 - np.mean(pairs))
    assert area_under_roc(high, low - 1) == 1 and np.isnan(area_under_roc(high, low[:0]))
