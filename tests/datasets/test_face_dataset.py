"""Face sets are what the shards hold, epochs are fair to people, and crops show what the photos show."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from training_faces import record

from smirk3d.datasets.face_dataset import FaceSet, collate, epoch_order
from smirk3d.datasets.shards import write_shard
from smirk3d.errors import Smirk3dError
from smirk3d.media.images import read_image


@pytest.fixture(scope="module")
def faces() -> FaceSet:
    """10 faces of Ann, 4 of Bo, 3 of unknown people."""
    people = ["Ann"] * 10 + ["Bo"] * 4 + [""] * 3
    return FaceSet.from_records(record(f"f{k}", person, seed=k) for k, person in enumerate(people))


def _order(faces: FaceSet, most: int | None, *seed: int) -> np.ndarray:
    return epoch_order(faces.person, most, np.random.default_rng(seed))


def test_people(faces: FaceSet) -> None:
    assert sorted(Counter(faces.person.tolist()).values()) == [1, 1, 1, 4, 10]
    assert faces.people == 5 and set(faces.person) == set(range(5))


def test_an_epoch_shows_few_faces_of_each_person_and_none_twice(faces: FaceSet) -> None:
    drawn: set[int] = set()
    for epoch in range(20):
        order = _order(faces, 3, epoch)
        assert len(set(order.tolist())) == len(order) == 3 + 3 + 3
        assert max(Counter(faces.person[order].tolist()).values()) == 3
        drawn |= set(order.tolist())
    assert drawn == set(range(len(faces)))
    assert sorted(_order(faces, None, 0)) == list(range(len(faces)))


def test_order_depends_on_the_seed_alone(faces: FaceSet) -> None:
    orders = [_order(faces, 3, seed, epoch).tolist() for seed, epoch in [(0, 0), (0, 1), (1, 0), (1, 1)]]
    assert len({tuple(order) for order in orders}) == 4
    assert _order(faces, 3, 1, 1).tolist() == orders[3]


@pytest.mark.parametrize("batch", [1, 3])
def test_collate(faces: FaceSet, batch: int) -> None:
    index = np.arange(batch) * 5
    found = collate(faces, index, 1.5, size=48)
    assert found.image.shape == (batch, 3, 48, 48) and found.landmarks_ndc.shape == (batch, 478, 2)
    assert found.image.dtype == found.landmarks_ndc.dtype == found.landmark_weight.dtype == torch.float32
    assert found.person.dtype == torch.int64 and found.person.tolist() == faces.person[index].tolist()
    assert found.target is None and found.target_weight.tolist() == [0.0] * batch
    # The face's box, centred, fills 1 / scale of the crop; half a pixel more is visible on each side.
    extent = found.landmarks_ndc.amax(1) - found.landmarks_ndc.amin(1)
    torch.testing.assert_close(extent, torch.full((batch, 2), 2 / 1.5), atol=0.08, rtol=0)


def test_the_crop_shows_the_colour_of_the_photo_at_each_landmark(faces: FaceSet) -> None:
    found = collate(faces, np.array([2]), 1.4, size=64)
    pixels = read_image(faces.jpegs[2]).pixels
    x, y = faces.landmarks_px[2].astype(int).T
    expected = torch.from_numpy(pixels[y, x]).float().T / 255
    place = found.landmarks_ndc[:, None]
    sampled = torch.nn.functional.grid_sample(found.image, place, align_corners=False)[0, :, 0]
    assert (sampled - expected).abs().mean() < 0.02


def test_points_outside_the_picture_do_not_count(faces: FaceSet) -> None:
    points = faces.landmarks_px.copy()
    points[0, :3] = [[-1, 10], [65, 10], [64, 48]]
    found = collate(replace(faces, landmarks_px=points), np.array([0, 1]), 1.5)
    assert found.landmark_weight[0, :4].tolist() == [0, 0, 1, 1] and found.landmark_weight[1].min() == 1


def test_a_folder(tmp_path: Path) -> None:
    write_shard(tmp_path / "train-000000.tar", [record("a"), replace(record("b"), jpeg=b"no"), record("c")])
    faces = FaceSet.from_folder(tmp_path)
    assert faces.keys == ("a", "c") and [fault.key for fault in faces.faults] == ["b"]
    write_shard(tmp_path / "val-000000.tar", [replace(record("b"), jpeg=b"no")])
    with pytest.raises(Smirk3dError, match=r"no usable faces in its split val: .*b: its \.jpg"):
        FaceSet.from_folder(tmp_path, "val")
    assert FaceSet.from_folder(tmp_path, is_wanted=lambda face: face.source == "c.png").keys == ("c",)


def test_a_picture_that_does_not_decode_is_named(faces: FaceSet) -> None:
    broken = replace(faces, jpegs=(b"\xff\xd8no\xff\xd9", *faces.jpegs[1:]))
    with pytest.raises(Smirk3dError, match="face f0: cannot read"):
        collate(broken, np.array([0]), 1.5)


def test_no_faces_are_refused() -> None:
    with pytest.raises(ValueError, match="no faces"):
        FaceSet.from_records([])
