"""Near-duplicates are found among changed copies, and not among other pictures."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from skimage.data import astronaut, camera, cat, coffee

from smirk3d.fer.near_duplicates import near_duplicates, perceptual_hashes, thumbnail

PICTURES = [astronaut()[:256, 60:316], camera()[:256, :256], cat()[:256, :256], coffee()[:256, :256]]


def _changed(pixels: np.ndarray) -> np.ndarray:
    """Return a picture smaller, brighter and compressed."""
    image = Image.fromarray(pixels).resize((97, 97)).point(lambda value: min(255, int(value * 1.1 + 5)))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=60)
    return np.asarray(Image.open(file))


def test_changed_copies_are_found_and_other_pictures_are_not() -> None:
    ones = np.stack([thumbnail(each) for each in PICTURES])
    others = np.stack([thumbnail(_changed(each)) for each in PICTURES[::-1]])
    assert near_duplicates(ones, others) == [(0, 3), (1, 2), (2, 1), (3, 0)]


def test_a_mirrored_picture_is_another_one() -> None:
    one, mirrored = (thumbnail(each)[None] for each in (PICTURES[0], PICTURES[0][:, ::-1]))
    assert near_duplicates(one, mirrored) == []


def test_flat_pictures_are_no_duplicates_of_each_other() -> None:
    flat = np.stack([thumbnail(np.full((20, 20), value, np.uint8)) for value in (0, 200)])
    assert not flat.any() and near_duplicates(flat, flat) == []


def test_hashes_do_not_depend_on_brightness() -> None:
    hashes = perceptual_hashes(np.stack([thumbnail(PICTURES[1]), thumbnail(PICTURES[1] // 2 + 60)]))
    assert hashes.shape == (2, 63) and (hashes[0] != hashes[1]).sum() <= 2
