"""Emotion labels in shards."""

import pytest
from evaluation_faces import write_labelled_shard

from smirk3d.datasets.emotion_labels import emotion_labels
from smirk3d.errors import Smirk3dError


@pytest.fixture
def folder(tmp_path):
    write_labelled_shard(tmp_path / "train-000000.tar", ["happiness", "anger"] * 25 + ["fear"] * 30 + [""])
    return tmp_path


def test_labels_of_a_split(folder):
    labels = emotion_labels(folder, "train")
    assert len(labels) == 80 and labels["train-0000000"] == "happiness"
    assert emotion_labels(folder, "val") == {}


def test_only_the_largest_collection_counts(folder):
    keys = list(emotion_labels(folder, "train"))
    rows = [f"{key},{'films' if k < 10 else 'news'}" for k, key in enumerate(keys)]
    (folder / "labels.csv").write_text("\n".join(["key,source", *rows]), encoding="utf-8")
    assert list(emotion_labels(folder, "train")) == keys[10:]
    (folder / "labels.csv").write_text("key,emotion\na,b\n", encoding="utf-8")
    assert list(emotion_labels(folder, "train")) == keys


def test_a_damaged_shard_is_reported(folder):
    (folder / "train-000000.tar").write_bytes(b"no tar")
    with pytest.raises(Smirk3dError, match="unreadable"):
        emotion_labels(folder, "train")
