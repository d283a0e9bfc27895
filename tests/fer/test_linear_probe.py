"""The linear probe."""

import numpy as np
import pytest

from smirk3d.fer.linear_probe import probe_predictions
from smirk3d.metrics.classification import recall_by_class


def test_separable_classes_are_separated():
    random = np.random.default_rng(0)
    label = np.arange(90) % 3
    features = random.normal(size=(90, 4)) * 0.1
    features[:, :3] += np.eye(3)[label]
    prediction = probe_predictions(features, label, features)
    assert prediction.tolist() == label.tolist()
    assert recall_by_class(prediction, label, 3).tolist() == [1, 1, 1]
    assert recall_by_class(prediction, (label + 1) % 3, 3).tolist() == [0, 0, 0]


def test_a_constant_feature_gives_chance():
    label = np.array([0] * 60 + [1] * 20 + [2] * 20)
    recall = recall_by_class(probe_predictions(np.ones((100, 3)), label, np.ones((100, 3))), label, 3)
    assert recall.mean() == pytest.approx(1 / 3) and sorted(recall) == [0, 0, 1]


def test_classes_weigh_alike():
    """One feature that overlaps: the frequent class does not take everything."""
    random = np.random.default_rng(0)
    label = np.array([0] * 950 + [1] * 50)
    features = (random.normal(size=1000) + 1.5 * label)[:, None]
    recall = recall_by_class(probe_predictions(features, label, features), label, 2)
    assert recall.min() > 0.6
