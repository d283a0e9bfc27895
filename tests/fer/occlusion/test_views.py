"""Views of occluded faces: which pixels they take, and what their mean is."""

from __future__ import annotations

import numpy as np
import pytest

from smirk3d.fer.occlusion.patches import GRID
from smirk3d.fer.occlusion.views import erased, mean_of_views, mirrored

WINDOWS = np.random.default_rng(0).integers(0, 256, (3, 48, 48), dtype=np.uint8)


@pytest.fixture
def hidden() -> np.ndarray:
    """Nothing; a patch at the left; a patch and its reflection, and one at the right."""
    patches = np.zeros((3, GRID, GRID), dtype=bool)
    patches[1, 2, 1] = True
    patches[2, 5, [3, GRID - 4]] = True
    patches[2, 8, GRID - 1] = True
    return patches


def test_erased_patches_have_the_grey_of_the_others(hidden: np.ndarray) -> None:
    found = erased(WINDOWS, hidden)
    area = np.kron(hidden, np.ones((1, 4, 4))) > 0
    assert np.array_equal(found[~area], WINDOWS[~area])
    for k in (1, 2):
        assert set(found[k][area[k]].tolist()) == {round(float(WINDOWS[k][~area[k]].mean()))}


def test_mirrored_patches_come_from_the_other_side(hidden: np.ndarray) -> None:
    found = mirrored(WINDOWS, hidden)
    assert np.array_equal(found[0], WINDOWS[0])
    assert np.array_equal(found[1, 8:12, 4:8], WINDOWS[1, 8:12, 40:44][:, ::-1])
    assert np.array_equal(found[2, 32:36, 44:], WINDOWS[2, 32:36, :4][:, ::-1])
    for columns in (slice(12, 16), slice(32, 36)):  # hidden on both sides
        assert np.array_equal(found[2, 20:24, columns], erased(WINDOWS, hidden)[2, 20:24, columns])


def test_a_symmetric_face_is_restored_by_its_mirrored_side(hidden: np.ndarray) -> None:
    face = np.maximum(WINDOWS[:1], WINDOWS[:1, :, ::-1])
    covered = face.copy()
    covered[0, 8:12, 4:8] = 0
    assert np.array_equal(mirrored(covered, hidden[1:2]), face)


def test_all_views_count_alike_and_faces_without_occlusion_are_seen_once(hidden: np.ndarray) -> None:
    seen: list[np.ndarray] = []

    def predict(windows: np.ndarray) -> np.ndarray:
        seen.append(windows)
        bright = windows.mean(axis=(1, 2)) / 255
        return np.stack([bright, 1 - bright], axis=1)

    repaired = np.full_like(WINDOWS, 200)
    found = mean_of_views(predict, WINDOWS, repaired, hidden)
    assert [len(each) for each in seen] == [3, 2, 2, 2] and np.array_equal(seen[1], repaired[1:])
    assert np.array_equal(found[0], predict(WINDOWS)[0])
    views = (WINDOWS, repaired, erased(WINDOWS, hidden), mirrored(WINDOWS, hidden))
    assert found[1:] == pytest.approx(np.mean([predict(each)[1:] for each in views], axis=0))
    seen.clear()
    assert np.array_equal(mean_of_views(predict, WINDOWS, repaired, np.zeros_like(hidden)), predict(WINDOWS))
    assert len(seen) == 2  # the second one is the comparison itself
