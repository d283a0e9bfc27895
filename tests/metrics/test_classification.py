"""Recall by class and the interval of its gain."""

import numpy as np

from smirk3d.metrics.classification import recall_by_class, recall_gain_interval


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
