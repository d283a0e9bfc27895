"""Shot boundaries: cuts are detected; pans, flashes and grain are not taken for cuts."""

import numpy as np
from skimage.data import astronaut, coffee

from smirk3d.tracking.shot_boundary import ShotBoundaryDetector, thumbnail


def cuts(frames: list[np.ndarray]) -> list[int]:
    is_cut = ShotBoundaryDetector()
    return [k for k, frame in enumerate(frames) if is_cut(frame)]


def test_cuts_between_shots_and_none_within() -> None:
    one, other = astronaut()[:400, :500], coffee()[:400, :500]
    random = np.random.default_rng(0)
    pan = [np.roll(one, 8 * k, axis=1) for k in range(15)]
    grain = [np.clip(other + random.normal(0, 12, other.shape), 0, 255).astype(np.uint8) for _ in range(10)]
    assert cuts(pan + grain + pan) == [15, 25]


def test_flash_is_no_cut() -> None:
    one = astronaut() // 2
    assert cuts([one, one, one + 90, one, one]) == []


def test_thumbnail_holds_block_means() -> None:
    image = np.zeros((36, 64, 3), dtype=np.uint8)
    image[:, ::2] = 255
    np.testing.assert_allclose(thumbnail(image), 0.5)
    assert thumbnail(np.full((480, 640, 3), 51, dtype=np.uint8)).shape == (18, 32, 3)
    np.testing.assert_allclose(thumbnail(np.full((7, 9, 3), 51, dtype=np.uint8)), 0.2, rtol=1e-6)
