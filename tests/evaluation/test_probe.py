"""The linear probe, and which faces it is given."""

import json
import tarfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from evaluation_faces import FakeSubject, Silent, record

from smirk3d.errors import Smirk3dError
from smirk3d.evaluation.photos import PhotoSet, emotion_labels
from smirk3d.evaluation.probe import (
    LEAST_FACES,
    choose_faces,
    measure_probe,
    probe_answers,
    probe_faces,
    recall_of_each,
)
from smirk3d.evaluation.report import MeasureNotApplicableError


def labelled(path: Path, emotions: list[str]) -> None:
    """Write a shard whose faces are bright where they are happy; written records have no emotion, so add it."""
    with tarfile.open(path, "w") as archive:
        for k, emotion in enumerate(emotions):
            made = record(f"{path.stem}{k}", 2 if emotion == "happiness" else 3)
            facts = {"person": "", "emotion": emotion, "blendshapes": [0.0] * 52}
            points = BytesIO()
            np.save(points, made.landmarks_px)
            members = {"jpg": made.jpeg, "json": json.dumps(facts).encode(), "npy": points.getvalue()}
            for suffix, content in members.items():
                info = tarfile.TarInfo(f"{made.key}.{suffix}")
                info.size = len(content)
                archive.addfile(info, BytesIO(content))


@pytest.fixture
def folder(tmp_path) -> Path:
    few = ["fear"] * (LEAST_FACES - 1)
    labelled(tmp_path / "train-000000.tar", ["happiness", "anger"] * 25 + ["fear"] * 30 + [""])
    labelled(tmp_path / "val-000000.tar", ["anger"] * 21 + ["happiness"] * 22 + few)
    return tmp_path


def test_what_is_separable_is_told_apart():
    random = np.random.default_rng(0)
    label = np.arange(90) % 3
    features = random.normal(size=(90, 4)) * 0.1
    features[:, :3] += np.eye(3)[label]
    answer = probe_answers(features, label, features)
    assert answer.tolist() == label.tolist()
    assert recall_of_each(answer, label, 3).tolist() == [1, 1, 1]
    assert recall_of_each(answer, (label + 1) % 3, 3).tolist() == [0, 0, 0]


def test_a_constant_feature_tells_nothing():
    label = np.array([0] * 60 + [1] * 20 + [2] * 20)
    recall = recall_of_each(probe_answers(np.ones((100, 3)), label, np.ones((100, 3))), label, 3)
    assert recall.mean() == pytest.approx(1 / 3) and sorted(recall) == [0, 0, 1]


def test_classes_weigh_alike():
    """One feature that overlaps: the frequent class does not take everything."""
    random = np.random.default_rng(0)
    label = np.array([0] * 950 + [1] * 50)
    features = (random.normal(size=1000) + 1.5 * label)[:, None]
    recall = recall_of_each(probe_answers(features, label, features), label, 2)
    assert recall.min() > 0.6


def test_what_does_not_occur_has_no_recall():
    assert np.isnan(recall_of_each(np.array([0, 1]), np.array([0, 0]), 3)).tolist() == [False, True, True]


def test_labels_and_choice(folder):
    labels = emotion_labels(folder, "train")
    assert len(labels) == 80 and labels["train-0000000"] == "happiness"
    assert choose_faces(labels, ["anger", "happiness"], 2) == {
        "train-0000001": 0, "train-0000003": 0, "train-0000000": 1, "train-0000002": 1,
    }  # fmt: skip


def test_only_the_largest_collection_counts(folder):
    keys = list(emotion_labels(folder, "train"))
    rows = [f"{key},{'films' if k < 10 else 'news'}" for k, key in enumerate(keys)]
    (folder / "labels.csv").write_text("\n".join(["key,source", *rows]), encoding="utf-8")
    assert list(emotion_labels(folder, "train")) == keys[10:]
    (folder / "labels.csv").write_text("key,emotion\na,b\n", encoding="utf-8")
    assert list(emotion_labels(folder, "train")) == keys


def test_probe_measured(folder):
    subject = FakeSubject(lambda pixels: pixels.mean((0, 1)).astype(np.float32))
    faces = probe_faces(folder, ("train", "val"), 24)
    assert faces.classes == ("anger", "happiness")  # of fear there are too few to judge by
    assert list(map(len, faces.photos)) == [48, 43]
    display = Silent()
    result = measure_probe(subject, faces, display)
    assert (result.faces, result.left_out, display.count) == (43, 0, 91)
    assert result.figures == {
        "balanced_recall": 1, "chance": 0.5, "recall_anger": 1, "recall_happiness": 1
    }  # fmt: skip


def test_too_few_labels(folder):
    labelled(folder / "val-000000.tar", ["anger"] * 40)
    with pytest.raises(MeasureNotApplicableError, match="fewer than two emotions"):
        probe_faces(folder, ("train", "val"), 100)


def test_photos_are_read_up_to_a_count(folder):
    assert len(PhotoSet.read(folder, "train", 5)) == 5
    (folder / "train-000000.tar").write_bytes(b"no tar")
    with pytest.raises(Smirk3dError, match="no usable faces"):
        PhotoSet.read(folder, "train", 5)
    with pytest.raises(Smirk3dError, match="unreadable"):
        emotion_labels(folder, "train")
