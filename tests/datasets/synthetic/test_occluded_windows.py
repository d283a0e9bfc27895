"""Windows with something before the face: exact coverage, seeds, kinds for learning and for testing."""

from __future__ import annotations

import numpy as np
import pytest

from smirk3d.datasets.synthetic.occluded_windows import (
    LEARNED_KINDS,
    UNSEEN_KINDS,
    decoy_window,
    occluded_window,
    scattered_landmarks,
    typical_landmarks,
)
from smirk3d.head.landmark_indices import EYE_LEFT, EYE_RIGHT, LIPS_OUTER

OTHER = np.random.default_rng(1).integers(0, 256, (96, 96), dtype=np.uint8)
WINDOW = np.full((96, 96), 130, dtype=np.uint8)


def test_no_kind_is_learned_and_unseen() -> None:
    assert not set(LEARNED_KINDS) & set(UNSEEN_KINDS)
    assert {"hand", "face_mask", "sunglasses"} <= set(UNSEEN_KINDS)


@pytest.mark.parametrize("name", [*LEARNED_KINDS, *UNSEEN_KINDS])
def test_only_what_is_covered_changes(name: str) -> None:
    kind = {**LEARNED_KINDS, **UNSEEN_KINDS}[name]
    drawn, coverage = occluded_window(WINDOW, kind, OTHER, np.random.default_rng(3))
    again, _ = occluded_window(WINDOW, kind, OTHER, np.random.default_rng(3))
    assert np.array_equal(drawn, again)
    assert drawn.dtype == np.uint8 and coverage.shape == (96, 96) and 0.01 < coverage.mean() < 0.95
    assert np.array_equal(drawn[coverage == 0], WINDOW[coverage == 0])
    assert np.abs(drawn[coverage > 0.99].astype(int) - 130).mean() > 1


def test_the_typical_face_is_upright_and_in_the_middle() -> None:
    points = typical_landmarks(96)
    right, left, mouth = (points[list(each)].mean(axis=0) for each in (EYE_RIGHT, EYE_LEFT, LIPS_OUTER))
    assert right[0] < mouth[0] < left[0] and mouth[1] > right[1]
    assert abs(right[1] - left[1]) < 1 and abs((right[0] + left[0]) / 2 - 48) < 1
    np.testing.assert_allclose(typical_landmarks(48), points / 2)
    assert np.abs(scattered_landmarks(96, np.random.default_rng(0)) - points).max() > 0.1


def test_decoys_differ_by_seed_and_stay_windows() -> None:
    windows = [decoy_window(OTHER, np.random.default_rng(seed)) for seed in range(6)]
    assert all(each.shape == (96, 96) and each.dtype == np.uint8 for each in windows)
    assert not np.array_equal(windows[0], windows[1])
