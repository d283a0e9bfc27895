"""Drawn occluders: what they cover, and what stays as it was."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.data import astronaut

from smirk3d.datasets.synthetic.decoys import DECOYS
from smirk3d.datasets.synthetic.occluder_shapes import FacePlace
from smirk3d.datasets.synthetic.occluders import HELD_OUT_KINDS, TRAINING_KINDS, WORN_KINDS, occlude, visible_shares
from smirk3d.detection.detector import Detector
from smirk3d.detection.face_regions import REGIONS
from smirk3d.head.landmark_indices import EYE_LEFT, EYE_RIGHT

KINDS = {**TRAINING_KINDS, **HELD_OUT_KINDS, **WORN_KINDS}
PIXELS = astronaut()
OTHER = PIXELS[..., 1]


@pytest.fixture(scope="module")
def landmarks_px() -> np.ndarray:
    with Detector() as detector:
        return detector.detect(PIXELS)[0].landmarks_px


@pytest.mark.parametrize("name", KINDS)
def test_only_what_is_covered_changes(landmarks_px: np.ndarray, name: str) -> None:
    drawn, coverage = occlude(PIXELS, landmarks_px, KINDS[name], OTHER, np.random.default_rng(1))
    assert drawn.dtype == np.uint8 and drawn.shape == PIXELS.shape
    assert coverage.min() >= 0 and coverage.max() <= 1
    assert coverage.max() > (0.5 if name == "spectacles" else 0.9)  # a camera blurs a thin frame
    np.testing.assert_array_equal(drawn[coverage == 0], PIXELS[coverage == 0])
    again, _ = occlude(PIXELS, landmarks_px, KINDS[name], OTHER, np.random.default_rng(1))
    np.testing.assert_array_equal(drawn, again)


def test_the_two_sets_have_no_kind_in_common() -> None:
    assert not TRAINING_KINDS.keys() & HELD_OUT_KINDS.keys()
    assert not WORN_KINDS.keys() & HELD_OUT_KINDS.keys()
    assert len(set(KINDS.values())) == len(KINDS)


@pytest.mark.parametrize(
    ("name", "region"), [("scarf", "mouth"), ("microphone", "mouth"), ("cup", "mouth"), ("sunglasses", "eyes")]
)
def test_things_cover_what_they_are_made_to_cover(landmarks_px: np.ndarray, name: str, region: str) -> None:
    shares = []
    for seed in range(5):
        _, coverage = occlude(PIXELS, landmarks_px, KINDS[name], OTHER, np.random.default_rng(seed))
        shares.append(visible_shares(coverage, landmarks_px))
    mean = dict(zip(REGIONS, np.mean(shares, axis=0)))
    assert mean[region] < 0.3 and mean["eyes" if region == "mouth" else "mouth"] > 0.9


def test_visible_shares_of_plain_coverages(landmarks_px: np.ndarray) -> None:
    nothing = np.zeros(PIXELS.shape[:2], dtype=np.float32)
    assert visible_shares(nothing, landmarks_px).tolist() == [1, 1, 1, 1]
    assert visible_shares(nothing + 1, landmarks_px).tolist() == [0, 0, 0, 0]
    assert visible_shares(nothing, landmarks_px + 1000).tolist() == [0, 0, 0, 0]
    half = nothing.copy()
    half[:, int(landmarks_px[4, 0]) :] = 1  # her left is on the right in the image
    shares = dict(zip(REGIONS, visible_shares(half, landmarks_px)))
    assert shares["left"] < 0.2 and shares["right"] > 0.8


def test_grey_photos_stay_grey(landmarks_px: np.ndarray) -> None:
    grey = np.repeat(OTHER[..., None], 3, axis=2)
    drawn, _ = occlude(grey, landmarks_px, KINDS["scarf"], OTHER, np.random.default_rng(0))
    assert (drawn == drawn[..., :1]).all()


def test_decoys_change_the_photo_and_keep_its_form(landmarks_px: np.ndarray) -> None:
    place = FacePlace(landmarks_px, (PIXELS.shape[1], PIXELS.shape[0]))
    for decoy in DECOYS:
        drawn = decoy(PIXELS, place, np.random.default_rng(0))
        assert drawn.dtype == np.uint8 and drawn.shape == PIXELS.shape and (drawn != PIXELS).any()


@pytest.mark.parametrize("seed", range(5))
def test_glasses_leave_the_eyes_visible(landmarks_px: np.ndarray, seed: int) -> None:
    rng = np.random.default_rng(seed)
    _, coverage = occlude(PIXELS, landmarks_px, WORN_KINDS["spectacles"], OTHER, rng)
    eyes = np.floor(landmarks_px[[*EYE_LEFT, *EYE_RIGHT]]).astype(int)
    assert 0 < coverage.mean() < 0.02 and coverage[eyes[:, 1], eyes[:, 0]].mean() < 0.2
    frame = np.argwhere(coverage > 0.5 * coverage.max())
    x_range, face_x = frame[:, 1], landmarks_px[:, 0]
    assert x_range.min() < np.median(face_x) < x_range.max()  # both eyes wear a lens
