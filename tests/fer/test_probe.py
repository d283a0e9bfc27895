"""The cross-validated probe keeps people apart."""

from __future__ import annotations

import numpy as np
import pytest

from smirk3d.errors import Smirk3dError
from smirk3d.fer.probe import confusion_of, cross_validated_probe, joined_groups


def _faces(
    people: int = 24, each: int = 4, signal: float = 4.0, size: int = 6
) -> tuple[np.ndarray, list[str], list[str]]:
    """Faces whose first number tells the class, and whose others tell the person."""
    generator = np.random.default_rng(0)
    label = np.tile(np.arange(2), people * each // 2)
    person = np.repeat(np.arange(people), each)
    features = generator.normal(size=(len(label), size))
    features[:, 0] += signal * label
    features[:, 1:] += 5 * generator.normal(size=(people, size - 1))[person]
    return features, [("sad", "glad")[k] for k in label], [f"p{k}" for k in person]


def test_a_separable_class_is_found_and_the_measures_agree() -> None:
    result = cross_validated_probe(*_faces())
    assert result.classes == ("glad", "sad") and result.people == 24 and result.merged == 0
    assert result.balanced_accuracy > 0.9 and result.interval[0] <= result.balanced_accuracy <= result.interval[1]
    recalls = np.diag(result.confusion) / result.confusion.sum(1)
    assert result.uar == pytest.approx(recalls.mean())
    assert result.war == pytest.approx(np.trace(result.confusion) / 96)


def test_a_class_that_is_a_matter_of_the_person_is_not_learned() -> None:
    """Each person has one class by chance: only faces of the same person would tell it."""
    features, _, groups = _faces(people=40, signal=0.0, size=80)
    coin = np.random.default_rng(3).integers(2, size=40)
    labels = [("a", "b")[coin[int(name[1:])]] for name in groups]
    assert cross_validated_probe(features, labels, groups).balanced_accuracy < 0.7
    assert cross_validated_probe(features, labels, [str(k) for k in range(160)]).balanced_accuracy > 0.8


def test_groups_with_the_same_picture_are_joined() -> None:
    features = np.random.default_rng(1).normal(size=(10, 20))
    features[7] = features[2] * 1.0001
    group, merged = joined_groups(features, np.arange(10))
    assert merged == 1 and group[7] == group[2] and len(np.unique(group)) == 9


def test_counts_of_the_confusion() -> None:
    assert confusion_of(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist() == [[1, 1], [0, 1]]


@pytest.mark.parametrize(
    ("labels", "groups", "reason"),
    [
        (["a"] * 8, list("12345678"), "one class alone"),
        (["a"] * 7 + ["b"], list("12345678"), "one person alone"),
        (["a", "b"] * 4, list("11223344"), "4 people for 5 folds"),
    ],
)
def test_too_little_is_an_error(labels: list[str], groups: list[str], reason: str) -> None:
    with pytest.raises(Smirk3dError, match=reason):
        cross_validated_probe(np.random.default_rng(0).normal(size=(8, 3)), labels, groups)
