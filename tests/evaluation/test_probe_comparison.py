"""Cross-validated probes of several methods."""

import os
from pathlib import Path

import numpy as np
import pytest
from evaluation_faces import FakeMethod, Silent, write_labelled_shard

from smirk3d.errors import Smirk3dError
from smirk3d.evaluation.probe import probe_faces
from smirk3d.evaluation.probe_comparison import (
    ProbeFeatures,
    compare_probes,
    cross_validated,
    predict_features,
    read_persons,
)


def features_of(n_persons: int = 40, faces_each: int = 4) -> ProbeFeatures:
    """Return faces whose encoder features contain the label, and whose detector features only the person."""
    random = np.random.default_rng(0)
    person = np.repeat(np.arange(n_persons), faces_each)
    label = np.arange(len(person)) % 2
    informative = label[:, None] + 0.1 * random.normal(size=(len(person), 3))
    identity = np.eye(n_persons)[person]
    is_test = np.arange(len(person)) >= len(person) // 2
    return ProbeFeatures(label, person, is_test, {"encoder": informative, "detector": identity})


def test_persons_are_never_in_training_and_test():
    """Features that only name the person, with a label for each person, are of no use for other persons."""
    found = features_of()
    label = found.person % 2
    memorised = ProbeFeatures(label, found.person, found.is_test, found.features)
    prediction = cross_validated(memorised, memorised.features["detector"], repeats=2, seed=0)
    assert prediction.shape == (2, len(label)) and (prediction == label).mean() < 0.7
    assert (cross_validated(found, found.features["encoder"], 1, 0) == found.label).mean() > 0.95


def test_gain_over_the_detector():
    found = features_of()
    encoder, detector = compare_probes(found, ("anger", "joy"), repeats=2, all_splits=False, seed=0)
    assert (encoder.method, detector.method) == ("encoder", "detector")
    assert encoder.faces == found.is_test.sum() and encoder.figures["persons"] == 20
    assert encoder.figures["balanced_recall"] > 0.95 and encoder.figures["gain_over_detector_low"] > 0.2
    assert detector.figures["gain_over_detector_low"] == detector.figures["gain_over_detector_high"] == 0
    everyone, _ = compare_probes(found, ("anger", "joy"), repeats=1, all_splits=True, seed=0)
    assert everyone.faces == len(found.label)


def test_methods_get_the_detections_of_the_first(tmp_path):
    emotions = ["happiness", "anger"] * 20
    for split in ("train", "val"):
        write_labelled_shard(tmp_path / f"{split}-000000.tar", emotions)
    rows = [f"{split}-000000{k},{k // 2}" for split in ("train", "val") for k in range(40)]
    (tmp_path / "labels.csv").write_text("\n".join(["key,group", *rows]), encoding="utf-8")
    first, second = FakeMethod(lambda pixels: pixels.mean((0, 1))), FakeMethod(lambda pixels: pixels[0, 0] / 255)
    first.method, second.method = "encoder", "detector"
    faces, display = probe_faces(tmp_path, ("train", "val"), 30), Silent()
    found = predict_features([first, second], faces, read_persons(tmp_path), display)
    assert display.count == len(found.label) == 80 and found.is_test.sum() == 40 and found.person.max() == 19
    assert {name: each.shape for name, each in found.features.items()} == {"encoder": (80, 3), "detector": (80, 3)}


def test_a_table_without_persons_is_named(tmp_path):
    (tmp_path / "labels.csv").write_text("key,emotion\na,joy\n", encoding="utf-8")
    with pytest.raises(Smirk3dError, match=r"labels\.csv: unreadable \(KeyError\); a table with the columns key and"):
        read_persons(tmp_path)


def test_a_pipe_in_place_of_the_table_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "labels.csv")
    with pytest.raises(Smirk3dError, match=r"labels\.csv: unreadable"):
        read_persons(tmp_path)
