"""From photos to emotions: recogniser, table, sheet, and the estimators in scikit-learn's conventions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut
from sklearn.base import clone

from smirk3d import Reconstructor
from smirk3d.batch.naming import plan_outputs
from smirk3d.errors import NoFaceError, Smirk3dError
from smirk3d.fer import EmotionClassifier, EmotionRecognizer, ExpressionVector, FaceEmotion
from smirk3d.fer.action_units import ACTION_UNITS, action_units
from smirk3d.fer.emotion_rows import recognized_batches
from smirk3d.fer.emotions import EMOTIONS, valence_arousal
from smirk3d.fer.emotions_csv import EMOTION_COLUMNS, emotion_row
from smirk3d.fer.network import ExpressionNetwork
from smirk3d.fer.sheet import emotion_sheet, sheet_cell
from smirk3d.networks.half_file import save_half

PHOTO = astronaut()[:300, 60:360].copy()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network with random weights: what is tested here does not depend on them."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "network.safetensors"
    save_half(ExpressionNetwork().eval(), path, {})
    return path


@pytest.fixture(scope="module")
def recognizer(weights: Path) -> Iterator[EmotionRecognizer]:
    with Reconstructor(method="fit") as reconstructor:
        yield EmotionRecognizer(weights=weights, reconstructor=reconstructor)


@pytest.fixture(scope="module")
def found(recognizer: EmotionRecognizer) -> FaceEmotion:
    (face,) = recognizer(PHOTO)
    return face


def test_the_parts_of_a_result_agree(found: FaceEmotion) -> None:
    assert tuple(found.probabilities) == EMOTIONS and sum(found.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert found.probabilities[found.emotion] == max(found.probabilities.values())
    place = valence_arousal(np.array(list(found.probabilities.values())))
    assert (found.valence, found.arousal) == pytest.approx(tuple(place), abs=1e-6)
    assert found.action_units == action_units(found.face.arkit)
    assert found.vector.shape == (256,) and found.window.shape == (48, 48)
    with pytest.raises(AttributeError):
        found.valence = 0.0  # type: ignore[misc]


def test_a_row_has_the_columns_of_the_table(found: FaceEmotion) -> None:
    row = dict(zip(EMOTION_COLUMNS, emotion_row("a/b.jpg", 2, found), strict=True))
    assert (row["image"], row["face"], row["status"], row["emotion"]) == ("a/b.jpg", "2", "ok", found.emotion)
    assert float(row["yaw"]) == pytest.approx(found.face.angles_deg[0], abs=1e-3)
    assert float(row["AU12"]) == pytest.approx(found.action_units["AU12"], abs=1e-4)
    assert float(row["visible_mouth"]) == pytest.approx(found.face.visibility.mouth, abs=1e-4)
    first = ("image", "face", "status", "confidence", "x0", "y0", "x1", "y1", "yaw", "pitch", "roll", *EMOTIONS)
    assert (
        *(*first, "emotion", "valence", "arousal", *ACTION_UNITS),
        *("visible_eyes", "visible_mouth", "visible_left", "visible_right", "occluded"),
    ) == EMOTION_COLUMNS


def test_a_sheet_is_sorted_by_emotion(found: FaceEmotion) -> None:
    cells = [sheet_cell("photo" * 20, PHOTO, found) for _ in range(3)]
    one, several = emotion_sheet(cells[:1]), emotion_sheet(cells)
    assert one.dtype == np.uint8 and several.shape[1] == 3 * one.shape[1] and several.shape[0] == one.shape[0]


def test_no_face_is_an_error(recognizer: EmotionRecognizer, weights: Path) -> None:
    grey = np.full((200, 200, 3), 128, dtype=np.uint8)
    with pytest.raises(NoFaceError):
        recognizer(grey)
    with pytest.raises(NoFaceError, match="crops"):
        ExpressionVector(weights=weights).transform([grey])
    with pytest.raises(Smirk3dError, match="no photos"):
        ExpressionVector(weights=weights).transform([])


def test_batches_have_the_faces_of_single_photos(found: FaceEmotion, weights: Path, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        Image.fromarray(PHOTO).save(tmp_path / name)
    Image.new("RGB", (60, 60)).save(tmp_path / "c.png")
    (tmp_path / "d.png").write_bytes(b"no image")
    with Reconstructor(method="fit") as reconstructor:
        jobs = plan_outputs([tmp_path])
        (batch,) = recognized_batches([jobs], reconstructor, weights)
        (other,) = recognized_batches([jobs[:1]], reconstructor, weights.with_name("missing"))
    assert [photo.job.path.name for photo in batch] == ["a.png", "b.png", "c.png", "d.png"]
    assert [len(photo.faces) for photo in batch] == [1, 1, 0, 0]
    for photo in batch[:2]:
        assert photo.reason is None
        assert np.allclose(photo.faces[0].vector, found.vector, atol=1e-4)
        weight = [photo.faces[0].face.arkit[name] - found.face.arkit[name] for name in found.face.arkit]
        assert np.abs(weight).max() < 1e-3
    assert "no face found" in (batch[2].reason or "") and "not an image" in (batch[3].reason or "")
    assert "missing" in (other[0].reason or "")


def test_vectors_of_photos_are_those_of_the_recognizer(found: FaceEmotion, weights: Path) -> None:
    vectors = ExpressionVector(weights=weights).fit_transform([PHOTO, Image.fromarray(PHOTO)])
    assert np.allclose(vectors[0], found.vector, atol=1e-4) and np.allclose(vectors[0], vectors[1], atol=1e-4)
    assert len(ExpressionVector().get_feature_names_out()) == vectors.shape[1]


def test_a_classifier_has_the_packaged_classes_until_it_is_fitted(weights: Path) -> None:
    generator = np.random.default_rng(0)
    photos = [generator.integers(0, 256, (48, 48, 3), dtype=np.uint8) for _ in range(8)]
    for photo in photos[4:]:
        photo[:24] = 0
    classifier = EmotionClassifier(crops=True, weights=weights)
    assert tuple(classifier.classes_) == EMOTIONS
    assert classifier.predict_proba(photos).sum(axis=1) == pytest.approx(np.ones(8), abs=1e-5)
    fitted = clone(classifier).fit(photos, ["full"] * 4 + ["half"] * 4)
    assert tuple(fitted.classes_) == ("full", "half") and fitted.predict_proba(photos).shape == (8, 2)
    assert fitted.score(photos, ["full"] * 4 + ["half"] * 4) == 1.0
    assert tuple(classifier.classes_) == EMOTIONS
