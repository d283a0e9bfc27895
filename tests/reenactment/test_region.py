from __future__ import annotations

import numpy as np

from smirk3d.reenactment.region import MAX_SIZE, Region


def test_the_region_surrounds_the_face_and_is_limited() -> None:
    landmarks = np.array([[100.0, 100.0], [1100.0, 1300.0]])
    region = Region.of_landmarks(landmarks)
    assert region.size == MAX_SIZE < region.side_px
    assert np.abs(region.to_ndc(landmarks)).max() < 0.5
    assert np.allclose(region.to_ndc(landmarks).mean(axis=0), 0, atol=0.01)
    assert np.allclose(region.to_px(region.to_ndc(landmarks)), landmarks)
    assert Region.of_landmarks(landmarks, scale=1.1).side_px == region.side_px / 2


def test_the_photo_is_mirrored_beyond_its_border() -> None:
    photo = np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    cut = Region(-10, -10, 50, 50).cut(photo).permute(1, 2, 0).numpy()
    wanted = np.pad(photo, ((10, 20), (10, 10), (0, 0)), mode="reflect")
    assert np.allclose(cut * 255, wanted, atol=1e-3)
