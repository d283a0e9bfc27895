"""The cached pictures of rendered heads."""

from collections.abc import Iterator

import numpy as np
import pytest
from evaluation_faces import Silent, face_points

from smirk3d.detection.detector import Detection
from smirk3d.errors import Smirk3dError
from smirk3d.evaluation.synthetic_set import synthetic_test_set


class FakeDetector:
    """Finds a synthetic face in every second picture."""

    def __init__(self, every: int = 2) -> None:
        self.pictures: list[np.ndarray] = []
        self._every = every

    def __call__(self, pixels: np.ndarray) -> list[Detection]:
        self.pictures.append(pixels)
        if len(self.pictures) % self._every:
            return []
        points = face_points(len(self.pictures))
        box = np.concatenate([points.min(0), points.max(0)])
        return [Detection(points, points[:, 0], np.full(52, 0.5, np.float32), box, 0.9)]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch, open_head) -> Iterator[None]:
    monkeypatch.setenv("SMIRK3D_CACHE", str(tmp_path))
    yield


def make(head, detector, seed=3, count=4):
    return synthetic_test_set(head, detector, Silent(), count=count, seed=seed, size=48)


def test_made_once_and_read_again(open_head):
    detector = FakeDetector()
    made = make(open_head, detector)
    assert len(detector.pictures) == 4 and len(made) == 2 and made.missed == 2
    assert np.array_equal(made.pixels[0], detector.pictures[1]) and made.pixels.shape == (2, 48, 48, 3)
    assert made.kind.tolist() == ["single", "one_sided"]  # the second and the fourth of a turn
    again = make(open_head, FakeDetector(every=99))
    assert np.array_equal(again.pixels, made.pixels) and np.array_equal(again.expression, made.expression)
    (second,) = again.face_observations(1, 2)
    photo, found = second.photo, second.detection
    assert np.array_equal(photo.pixels, detector.pictures[3])
    assert np.array_equal(found.landmarks_px, face_points(4)) and np.array_equal(found.depth, face_points(4)[:, 0])
    assert found.box_px.tolist() == [*face_points(4).min(0), *face_points(4).max(0)]
    assert found.score == pytest.approx(0.9) and found.blendshape_scores.tolist() == [0.5] * 52


def test_another_seed_shows_other_people(open_head):
    first, second = make(open_head, FakeDetector(1)), make(open_head, FakeDetector(1), seed=4)
    assert not np.array_equal(first.pixels, second.pixels)
    assert not np.array_equal(first.expression, second.expression)


def test_faults_are_named(open_head, tmp_path):
    with pytest.raises(Smirk3dError, match="no face was found in any of 4"):
        make(open_head, FakeDetector(every=99))
    make(open_head, FakeDetector())
    (facts,) = (tmp_path / "evaluation").glob("*_facts.npz")
    facts.write_bytes(b"PK no")
    with pytest.raises(Smirk3dError, match="delete it"):
        make(open_head, FakeDetector())
