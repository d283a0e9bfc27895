"""Expression vectors of photos in clips that are not rendered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from smirk3d.datasets.synthetic.emotion_clips.clip_set import random_motions
from smirk3d.errors import Smirk3dError
from smirk3d.fer.emotions import EMOTIONS
from smirk3d.train.clip_emotion.photo_vectors import PhotoVectors, photo_vectors


def test_vectors_follow_the_intensity_of_the_emotion() -> None:
    faces = tuple(np.full((3, 256), float(k), np.float32) for k in range(len(EMOTIONS)))
    truth = random_motions(32, 0)
    vectors = PhotoVectors(faces).of_clips(truth, np.random.default_rng(0)).mean(axis=2)
    assert vectors.shape == truth.envelope.shape
    assert vectors == pytest.approx(truth.envelope * truth.emotion[:, None], abs=0.2)


def _faces(root: Path, emotions: tuple[str, ...]) -> Path:
    rng = np.random.default_rng(0)
    for name in emotions:
        (root / name).mkdir(parents=True)
        Image.fromarray(rng.integers(0, 255, (48, 48), dtype=np.uint8)).save(root / name / "0.png")
    return root


def test_faces_are_read(tmp_path: Path) -> None:
    found = photo_vectors(_faces(tmp_path, EMOTIONS), None, 0)
    assert [each.shape for each in found.of_emotion] == [(1, 256)] * len(EMOTIONS)


def test_an_emotion_without_a_face_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Smirk3dError, match="no clear face of contempt"):
        photo_vectors(_faces(tmp_path, EMOTIONS[:-1]), None, 0)
