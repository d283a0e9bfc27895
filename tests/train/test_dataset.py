"""Batches are what the shards hold, in an order that depends on nothing but seed, epoch and step."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields, replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from training_faces import record

from smirk3d.errors import Smirk3dError
from smirk3d.pipeline.images import read_image
from smirk3d.train.batch import TrainingBatch
from smirk3d.train.dataset import FaceLoader, FaceSet, LoaderConfig, Position, collate, epoch_order
from smirk3d.train.shards import write_shard

CONFIG = LoaderConfig(batch_size=4, size=32, most_per_person=3, seed=7)


@pytest.fixture(scope="module")
def faces() -> FaceSet:
    """10 faces of Ann, 4 of Bo, 3 of unknown people."""
    people = ["Ann"] * 10 + ["Bo"] * 4 + [""] * 3
    return FaceSet.from_records([[record(f"f{k}", person, seed=k) for k, person in enumerate(people)]])


def _equal(one: TrainingBatch, other: TrainingBatch) -> bool:
    pairs = [(getattr(one, f.name), getattr(other, f.name)) for f in fields(one) if f.name != "target"]
    return all(a.equal(b) for a, b in pairs)


def test_people(faces: FaceSet) -> None:
    assert sorted(Counter(faces.person.tolist()).values()) == [1, 1, 1, 4, 10]
    both = FaceSet.from_records([[record("a", "Ann")], [record("b", "Ann"), record("c", "Ann")]])
    assert both.person.tolist() == [0, 1, 1]  # a name counts within its source


def test_an_epoch_shows_few_faces_of_each_person_and_none_twice(faces: FaceSet) -> None:
    seen: set[int] = set()
    for epoch in range(20):
        order = epoch_order(faces, 3, seed=0, epoch=epoch)
        assert len(set(order.tolist())) == len(order) == 3 + 3 + 3
        assert max(Counter(faces.person[order].tolist()).values()) == 3
        seen |= set(order.tolist())
    assert seen == set(range(len(faces)))
    assert sorted(epoch_order(faces, None, 0, 0)) == list(range(len(faces)))


def test_order_depends_on_seed_and_epoch_alone(faces: FaceSet) -> None:
    orders = [epoch_order(faces, 3, seed, epoch).tolist() for seed, epoch in [(0, 0), (0, 1), (1, 0), (1, 1)]]
    assert len({tuple(order) for order in orders}) == 4
    assert epoch_order(faces, 3, 1, 1).tolist() == orders[3]


def test_weights_between_sources() -> None:
    sources = [[record(f"{name}{k}") for k in range(count)] for name, count in [("a", 8), ("b", 12), ("c", 5)]]
    both = FaceSet.from_records(sources, [1.0, 0.5, 2.0])
    drawn = [Counter(both.keys[k][0] for k in epoch_order(both, 3, 0, epoch)) for epoch in range(50)]
    assert all(each == {"a": 4, "b": 3, "c": 5} for each in drawn)
    shown = Counter(both.keys[k] for epoch in range(50) for k in epoch_order(both, 3, 0, epoch))
    assert len(shown) == 25 and min(shown.values()) > 3
    with pytest.raises(ValueError, match="positive"):
        FaceSet.from_records(sources, [1.0, 0.0, 1.0])


@pytest.mark.parametrize("batch", [1, 3])
def test_collate(faces: FaceSet, batch: int) -> None:
    index = np.arange(batch) * 5
    found = collate(faces, index, 1.5, size=48)
    assert found.image.shape == (batch, 3, 48, 48) and found.landmarks_ndc.shape == (batch, 478, 2)
    assert found.image.dtype == found.landmarks_ndc.dtype == found.landmark_weight.dtype == torch.float32
    assert found.person.dtype == torch.int64 and found.person.tolist() == faces.person[index].tolist()
    assert found.target is None and found.target_weight.tolist() == [0.0] * batch
    # The face's box, centred, fills 1 / scale of the crop; half a pixel more is seen on each side.
    extent = found.landmarks_ndc.amax(1) - found.landmarks_ndc.amin(1)
    torch.testing.assert_close(extent, torch.full((batch, 2), 2 / 1.5), atol=0.08, rtol=0)


def test_the_crop_shows_the_colour_of_the_photo_at_each_landmark(faces: FaceSet) -> None:
    found = collate(faces, np.array([2]), 1.4, size=64)
    pixels = read_image(faces.jpegs[2]).pixels
    x, y = faces.landmarks_px[2].astype(int).T
    expected = torch.from_numpy(pixels[y, x]).float().T / 255
    place = found.landmarks_ndc[:, None]
    seen = torch.nn.functional.grid_sample(found.image, place, align_corners=False)[0, :, 0]
    assert (seen - expected).abs().mean() < 0.02


def test_points_outside_the_picture_do_not_count(faces: FaceSet) -> None:
    points = faces.landmarks_px.copy()
    points[0, :3] = [[-1, 10], [65, 10], [64, 48]]
    found = collate(replace(faces, landmarks_px=points), np.array([0, 1]), 1.5)
    assert found.landmark_weight[0, :4].tolist() == [0, 0, 1, 1] and found.landmark_weight[1].min() == 1


def test_scales_are_spread_over_their_range(faces: FaceSet) -> None:
    loader = FaceLoader(faces, replace(CONFIG, batch_size=8))
    widths = [torch.cat([b.landmarks_ndc.amax(1) - b.landmarks_ndc.amin(1)]) for _, b in islice(loader.batches(), 20)]
    scale = 2 / torch.cat(widths).mean(1)
    assert scale.min() > 1.15 and scale.max() < 1.95 and scale.min() < 1.3 and scale.max() > 1.65


@pytest.mark.parametrize("workers", [0, 2])
def test_going_on_equals_an_uninterrupted_run(faces: FaceSet, workers: int) -> None:
    loader = FaceLoader(faces, replace(CONFIG, workers=workers))
    assert loader.steps_per_epoch == 2  # nine faces: the last one of an epoch waits for another
    whole = list(islice(FaceLoader(faces, CONFIG).batches(), 6))
    assert [position for position, _ in whole[:3]] == [Position(0, 1), Position(1, 0), Position(1, 1)]
    resumed = list(islice(loader.batches(whole[2][0]), 3))
    for (position, batch), (expected_position, expected) in zip(resumed, whole[3:], strict=True):
        assert position == expected_position and _equal(batch, expected)
    assert _equal(loader.batch(Position(1, 1)), whole[3][1])
    assert not _equal(whole[0][1], whole[2][1])


def test_folders(tmp_path: Path) -> None:
    write_shard(tmp_path / "train-000000.tar", [record("a"), replace(record("b"), jpeg=b"no"), record("c")])
    faces = FaceSet.from_folders([tmp_path])
    assert faces.keys == ("a", "c") and [fault.key for fault in faces.faults] == ["b"]
    write_shard(tmp_path / "val-000000.tar", [replace(record("b"), jpeg=b"no")])
    with pytest.raises(Smirk3dError, match=r"no usable faces in its split val: .*b: its \.jpg"):
        FaceSet.from_folders([tmp_path], "val")


def test_a_picture_that_does_not_decode_is_named(faces: FaceSet) -> None:
    broken = replace(faces, jpegs=(b"\xff\xd8no\xff\xd9", *faces.jpegs[1:]))
    with pytest.raises(Smirk3dError, match="face f0: cannot read"):
        collate(broken, np.array([0]), 1.5)


@pytest.mark.parametrize(
    "wrong",
    [{"batch_size": 0}, {"size": 1}, {"workers": -1}, {"seed": -1}, {"most_per_person": 0}, {"crop_scale": (2, 1)}],
)
def test_wrong_numbers_are_refused(wrong: dict, faces: FaceSet) -> None:
    with pytest.raises(ValueError, match=r"out of its range|crop_scale"):
        LoaderConfig(**wrong)
    with pytest.raises(ValueError, match="smaller than a batch"):
        FaceLoader(faces, replace(CONFIG, batch_size=10))
    with pytest.raises(ValueError, match="no faces"):
        FaceSet.from_records([[]])
