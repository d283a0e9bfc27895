"""A probe with given splits learns on one, and refuses what both share."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from smirk3d.errors import Smirk3dError
from smirk3d.fer.labelled_features import LabelledFeatures
from smirk3d.fer.split_probe import split_probe


@pytest.fixture
def faces() -> LabelledFeatures:
    generator = np.random.default_rng(0)
    kind = np.arange(60) % 2
    return LabelledFeatures(
        features=(generator.normal(size=(60, 8)) + 4 * kind[:, None]).astype(np.float32),
        labels=tuple(("sad", "glad")[k] for k in kind),
        groups=tuple(f"p{k // 2}" for k in range(60)),
        keys=tuple(f"{k}.jpg" for k in range(60)),
        splits=("Train",) * 40 + ("test",) * 20,
        unlabelled=0,
    )


def test_the_other_splits_are_tested(faces: LabelledFeatures) -> None:
    result = split_probe(faces)
    assert result.confusion.sum() == 20 and result.balanced_accuracy == 1.0 and result.people == 10
    assert result.classes == ("glad", "sad")


def test_a_shared_person_is_refused(faces: LabelledFeatures) -> None:
    with pytest.raises(Smirk3dError, match=r"1 persons .* such as p3"):
        split_probe(replace(faces, groups=(*faces.groups[:-2], "p3", "p3")))


def test_a_near_duplicate_is_refused(faces: LabelledFeatures) -> None:
    features = faces.features.copy()
    features[50] = features[4] + 1e-3
    with pytest.raises(Smirk3dError, match=r"4\.jpg and 50\.jpg"):
        split_probe(replace(faces, features=features))
    features[50], features[6] = faces.features[50], faces.features[4]  # within the training split it does not matter
    split_probe(replace(faces, features=features))


def test_a_split_without_training_faces_or_with_a_new_class_is_refused(faces: LabelledFeatures) -> None:
    with pytest.raises(Smirk3dError, match="the splits are test"):
        split_probe(replace(faces, splits=("test",) * 60))
    with pytest.raises(Smirk3dError, match="'angry' is in no training face"):
        split_probe(replace(faces, labels=(*faces.labels[:-1], "angry")))
