"""Annotated landmarks as detections."""

from pathlib import Path

import numpy as np
import pytest

from smirk3d.datasets.landmark_annotations import read_landmark_annotations
from smirk3d.errors import Smirk3dError
from smirk3d.head.arkit import ARKIT_NAMES


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = ["key,split,width,height,emotion", "a,train,40,30,anger", "b,val,20,10,", "c,train,50,60,"]
    (tmp_path / "labels.csv").write_text("\n".join(rows), encoding="utf-8")
    points = np.random.default_rng(0).uniform(0, 10, (3, 478, 3))
    scores = np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])
    names = np.array(["jawOpen", "_neutral"])
    np.savez(tmp_path / "landmarks.npz", lm=points, blendshapes=scores, blendshape_names=names)
    return tmp_path


def test_a_split_in_the_order_of_the_table(folder: Path):
    found = read_landmark_annotations(folder, "train")
    assert found.keys == ["a", "c"] and found.emotions == ["anger", ""]
    assert [photo.photo.size for photo in found.photos] == [(40, 30), (50, 60)]
    (detection,) = found.photos[1].detections
    with np.load(folder / "landmarks.npz") as data:
        points = data["lm"][2].astype(np.float32)
    assert np.array_equal(detection.landmarks_px, points[:, :2]) and np.array_equal(detection.depth, points[:, 2])
    assert detection.box_px.tolist() == [*points[:, :2].min(0), *points[:, :2].max(0)]


def test_scores_follow_the_names(folder: Path):
    (detection,) = read_landmark_annotations(folder, "val").photos[0].detections
    jaw = ARKIT_NAMES.index("jawOpen")
    assert detection.blendshape_scores[jaw] == np.float32(0.3) and detection.blendshape_scores.sum() == np.float32(0.3)


def test_a_missing_file_is_named(folder: Path):
    (folder / "labels.csv").unlink()
    with pytest.raises(Smirk3dError, match=r"has no labels\.csv"):
        read_landmark_annotations(folder, "train")
