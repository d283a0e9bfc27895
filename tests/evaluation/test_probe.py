"""The probe measure: its faces and its result."""

from pathlib import Path

import numpy as np
import pytest
from evaluation_faces import FakeMethod, Silent, write_labelled_shard

from smirk3d.datasets.emotion_labels import emotion_labels
from smirk3d.errors import Smirk3dError
from smirk3d.evaluation.photos import PhotoSet
from smirk3d.evaluation.probe import choose_faces, measure_probe, probe_faces
from smirk3d.evaluation.result import MeasureNotApplicableError
from smirk3d.fer.linear_probe import MIN_FACES


@pytest.fixture
def folder(tmp_path) -> Path:
    few = ["fear"] * (MIN_FACES - 1)
    write_labelled_shard(tmp_path / "train-000000.tar", ["happiness", "anger"] * 25 + ["fear"] * 30 + [""])
    write_labelled_shard(tmp_path / "val-000000.tar", ["anger"] * 21 + ["happiness"] * 22 + few)
    return tmp_path


def test_labels_and_choice(folder):
    labels = emotion_labels(folder, "train")
    assert len(labels) == 80 and labels["train-0000000"] == "happiness"
    assert choose_faces(labels, ["anger", "happiness"], 2) == {
        "train-0000001": 0, "train-0000003": 0, "train-0000000": 1, "train-0000002": 1,
    }  # fmt: skip


def test_probe_measured(folder):
    subject = FakeMethod(lambda pixels: pixels.mean((0, 1)).astype(np.float32))
    faces = probe_faces(folder, ("train", "val"), 24)
    assert faces.classes == ("anger", "happiness")  # the test split has too few of fear
    assert list(map(len, faces.photos)) == [48, 43]
    display = Silent()
    result = measure_probe(subject, faces, display)
    assert (result.faces, result.left_out, display.count) == (43, 0, 91)
    assert result.figures == {
        "balanced_recall": 1, "chance": 0.5, "recall_anger": 1, "recall_happiness": 1
    }  # fmt: skip


def test_too_few_labels(folder):
    write_labelled_shard(folder / "val-000000.tar", ["anger"] * 40)
    with pytest.raises(MeasureNotApplicableError, match="fewer than two emotions"):
        probe_faces(folder, ("train", "val"), 100)


def test_photos_are_read_up_to_a_count(folder):
    assert len(PhotoSet.read(folder, "train", 5)) == 5
    (folder / "train-000000.tar").write_bytes(b"no tar")
    with pytest.raises(Smirk3dError, match="no usable faces"):
        PhotoSet.read(folder, "train", 5)
    with pytest.raises(Smirk3dError, match="unreadable"):
        emotion_labels(folder, "train")
