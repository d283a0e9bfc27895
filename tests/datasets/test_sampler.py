"""What a step shows depends on the configuration and its number alone, and targets stay with their faces."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from training_faces import record

from smirk3d.datasets import sources
from smirk3d.datasets.augment import augment
from smirk3d.datasets.config import AugmentConfig, DataConfig, SourceConfig
from smirk3d.datasets.pseudo_targets import TargetTable
from smirk3d.datasets.sampler import BatchSampler
from smirk3d.datasets.shards import write_shard
from smirk3d.datasets.synthetic import rendered_faces
from smirk3d.datasets.training_batch import TrainingBatch
from smirk3d.errors import Smirk3dError
from smirk3d.geometry.camera import project_orthographic
from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams
from smirk3d.render.appearance.baked_face import BakedFaceRenderer

GEOMETRY = AugmentConfig(mirror=0.5, color=0, blur=0, noise=0)
SIZE = 32


@pytest.fixture(autouse=True)
def quick_renders(monkeypatch: pytest.MonkeyPatch, baked_renderer: BakedFaceRenderer) -> None:
    monkeypatch.setattr(rendered_faces, "SHARD", 6)
    monkeypatch.setattr(rendered_faces, "BakedFaceRenderer", lambda head, cuts: baked_renderer)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """10 faces of Ann, 4 of Bo, 3 of unknown people, and one that is broken; the keys are f0 to f16."""
    folder = tmp_path_factory.mktemp("shards")
    people = ["Ann"] * 10 + ["Bo"] * 4 + [""] * 3
    faces = [record(f"f{k}", person, seed=k) for k, person in enumerate(people)]
    write_shard(folder / "train-000000.tar", [*faces, replace(faces[0], key="bad", jpeg=b"no")])
    return folder


@pytest.fixture(scope="module")
def heads_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where rendered heads are kept for all tests."""
    return tmp_path_factory.mktemp("rendered")


@pytest.fixture(scope="module")
def table(open_head: HeadModel, shards: Path) -> Path:
    """Targets of f0, f1, ..., f9 with weights 0.1, 0.2, ..., 1."""
    rng = np.random.default_rng(0)
    sizes = {"shape": open_head.n_shape, "expression": 52, "pose": 3}
    values = {name: torch.from_numpy(rng.uniform(0, 0.3, (10, size))).float() for name, size in sizes.items()}
    keys = tuple(f"f{k}" for k in range(10))
    targets = TargetTable(keys, FaceParams(**values), torch.arange(1, 11) / 10, open_head.expression_names)
    targets.save(shards / "targets.npz")
    return shards / "targets.npz"


def _sampler(
    head: HeadModel, *sources: SourceConfig, augment: AugmentConfig = GEOMETRY, seed: int = 0, **data: Any
) -> BatchSampler:
    settings = {"size": SIZE, "batch_size": 8, "max_per_person": 3, **data}
    return BatchSampler(DataConfig(sources, **settings), augment, seed, head)


def _equal(one: TrainingBatch, other: TrainingBatch) -> bool:
    pairs = [(getattr(one, each.name), getattr(other, each.name)) for each in fields(one) if each.name != "target"]
    if one.target is not None and other.target is not None:
        pairs += [(a, b) for (_, a), (_, b) in zip(one.target.items(), other.target.items(), strict=True)]
    return (one.target is None) == (other.target is None) and all(a.equal(b) for a, b in pairs)


@pytest.fixture(scope="module")
def photos(shards: Path, open_head: HeadModel) -> BatchSampler:
    return _sampler(open_head, SourceConfig(shards))


def test_a_batch_has_its_shapes(photos: BatchSampler) -> None:
    batch = photos.batch(3)
    assert batch.image.shape == (8, 3, SIZE, SIZE) and batch.landmarks_ndc.shape == (8, 478, 2)
    assert batch.target is None and batch.target_weight.tolist() == [0] * 8
    assert len(photos) == 17 and [fault.key for fault in photos.faults] == ["bad"]


def test_a_step_is_a_pure_function_of_its_number(photos: BatchSampler, shards: Path, open_head: HeadModel) -> None:
    again = _sampler(open_head, SourceConfig(shards))
    torch.manual_seed(5)
    before = torch.get_rng_state()
    late, early = again.batch(9), again.batch(2)
    assert _equal(early, photos.batch(2)) and _equal(late, photos.batch(9)) and not _equal(early, late)
    assert list(again.batches(4, 4)) == [] and torch.get_rng_state().equal(before)
    others = [
        _sampler(open_head, SourceConfig(shards), seed=1),
        _sampler(open_head, SourceConfig(shards), crop_scale=(1, 1)),
    ]
    assert not any(_equal(other.batch(2), early) for other in others)


def test_workers_and_a_late_start_change_nothing(photos: BatchSampler, shards: Path, open_head: HeadModel) -> None:
    whole = list(photos.batches(0, 6))
    ahead = _sampler(open_head, SourceConfig(shards), workers=2)
    assert all(map(_equal, ahead.batches(2, 6), whole[2:]))
    assert all(_equal(batch, photos.batch(step)) for step, batch in enumerate(whole))


@pytest.mark.parametrize("world", [2, 4, 8])
def test_the_shares_of_the_processes_are_the_whole_batch(photos: BatchSampler, world: int) -> None:
    whole, shares = photos.batch(1), [next(photos.batches(1, 2, rank, world)) for rank in range(world)]
    for rank, share in enumerate(shares):
        assert _equal(share, whole.take(torch.arange(rank, 8, world)))
    with pytest.raises(ValueError, match="process 0 of 3 has no equal share of 8"):
        photos.share(1, 0, 3)
    with pytest.raises(ValueError, match="process 2 of 2"):
        photos.share(1, 2, 2)


def test_shares_that_are_not_parts(shards: Path, open_head: HeadModel) -> None:
    stream = _sampler(open_head, SourceConfig(shards), batch_size=12)
    for rank in range(3):
        assert _equal(stream.share(0, rank, 3), stream.batch(0).take(torch.arange(rank, 12, 3)))


def test_a_process_makes_only_its_own_faces(photos: BatchSampler, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    source = photos.sources[0]
    monkeypatch.setattr(source, "batch", lambda index, rng, old=source.batch: made.extend(index) or old(index, rng))
    photos.share(0, 1, 4)
    assert len(made) == 2


def test_an_epoch_shows_every_face_once_and_few_of_a_person(photos: BatchSampler) -> None:
    # Three each of Ann and Bo and three others are an epoch; 9 steps of 8 faces are 8 epochs.
    drawn = np.concatenate([photos.plan(step).face for step in range(9)])
    for epoch in drawn.reshape(8, 9):
        assert len(set(epoch)) == 9 and sum(epoch < 10) == 3 and {14, 15, 16} <= set(epoch)
    assert set(drawn) == set(range(17))


def test_sources_have_their_shares_of_every_step(shards: Path, open_head: HeadModel, heads_folder: Path) -> None:
    heads = SourceConfig(heads_folder, "rendered", weight=0.5, count=6)
    stream = _sampler(open_head, SourceConfig(shards), heads, SourceConfig(shards, weight=0.1))
    counts = np.array([np.bincount(stream.plan(step).source, minlength=3) for step in range(400)])
    assert (counts.sum(1) == 8).all()
    expected = 8 * np.array([1, 0.5, 0.1]) / 1.6
    assert (np.abs(counts - expected) < 1).all()
    np.testing.assert_allclose(counts.mean(0), expected, atol=0.08)
    drawn = Counter(np.concatenate([plan.face[plan.source == 1] for plan in map(stream.plan, range(400))]).tolist())
    assert set(drawn) == set(range(6)) and max(drawn.values()) < 2 * min(drawn.values())
    assert len(stream) == 17 + 6 + 17


def test_people_of_different_sources_are_different(shards: Path, open_head: HeadModel, heads_folder: Path) -> None:
    heads = SourceConfig(heads_folder, "rendered", count=6)
    stream = _sampler(open_head, SourceConfig(shards), heads, SourceConfig(shards), batch_size=24)
    person, source = stream.batch(0).person, stream.plan(0).source
    ranges = [person[torch.from_numpy(source == k)] for k in range(3)]
    assert all(low.max() < high.min() for low, high in pairwise(ranges)) and person.max() < 5 + 6 + 5


def _reprojection_px(batch: TrainingBatch, head: HeadModel) -> torch.Tensor:
    """Return how far (B,) the landmarks of the targets are from those in the crop, on the average."""
    assert batch.target is not None and batch.target.camera is not None
    projected = project_orthographic(head(batch.target).landmarks("mediapipe"), batch.target.camera)[..., :2]
    return (projected - batch.landmarks_ndc).norm(dim=-1).mean(1) * batch.image.shape[-1] / 2


def test_targets_of_rendered_heads_move_along(open_head: HeadModel, heads_folder: Path) -> None:
    strong = replace(GEOMETRY, shift=0.1, scale=0.2, rotation_deg=30.0)
    heads = SourceConfig(heads_folder, "rendered", count=6)
    stream = _sampler(open_head, heads, augment=strong)
    still = AugmentConfig(shift=0, scale=0, rotation_deg=0, mirror=0, color=0, blur=0, noise=0)
    before = _reprojection_px(_sampler(open_head, heads, augment=still).batch(0), open_head)
    after = _reprojection_px(stream.batch(0), open_head)
    # Pictures are in perspective, targets are not: that little stays; what moved is exact.
    assert after.max() < 1 and (after - before).abs().max() < 0.3 * before.max()
    assert stream.batch(0).target_weight.tolist() == [1] * 8


def test_targets_of_photos(shards: Path, table: Path, open_head: HeadModel) -> None:
    stream = _sampler(open_head, SourceConfig(shards, targets=table), batch_size=9)
    batch, face = stream.batch(0), stream.plan(0).face
    assert batch.target is not None and batch.target.camera is not None
    known = torch.from_numpy(face < 10)
    torch.testing.assert_close(batch.target_weight, torch.where(known, torch.from_numpy(face + 1) / 10, 0).float())
    assert all(value[~known].eq(0).all() and value.isfinite().all() for _, value in batch.target.items())
    # The camera is that of the moved crop: landmarks of the target have the place and size of those in the crop.
    projected = project_orthographic(open_head(batch.target).landmarks("mediapipe"), batch.target.camera)[..., :2]
    torch.testing.assert_close(projected.mean(1)[known], batch.landmarks_ndc.mean(1)[known], atol=1e-4, rtol=0)


def test_sources_with_and_without_targets_mix(shards: Path, open_head: HeadModel, heads_folder: Path) -> None:
    heads = SourceConfig(heads_folder, "rendered", count=6)
    stream = _sampler(open_head, SourceConfig(shards), heads)
    batch, is_rendered = stream.batch(2), torch.from_numpy(stream.plan(2).source == 1)
    assert batch.target is not None and batch.target_weight.equal(is_rendered.float())
    assert all(value[~is_rendered].eq(0).all() for _, value in batch.target.items())
    assert _reprojection_px(batch, open_head)[is_rendered].max() < 1


def test_augmentation_is_that_of_the_configuration(shards: Path, open_head: HeadModel) -> None:
    still = AugmentConfig(shift=0, scale=0, rotation_deg=0, mirror=0, color=0, blur=0, noise=0)
    plain = _sampler(open_head, SourceConfig(shards), augment=still).batch(0)
    changed = _sampler(open_head, SourceConfig(shards), augment=replace(still, mirror=1)).batch(0)
    expected = augment(plain, replace(still, mirror=1), torch.Generator())
    torch.testing.assert_close(changed.landmarks_ndc, expected.landmarks_ndc)
    torch.testing.assert_close(changed.image, expected.image, atol=1e-5, rtol=0)


def test_crop_scales_are_spread_over_their_range(shards: Path, open_head: HeadModel) -> None:
    still = AugmentConfig(shift=0, scale=0, rotation_deg=0, mirror=0, color=0, blur=0, noise=0)
    stream = _sampler(open_head, SourceConfig(shards), augment=still, crop_scale=(1.2, 1.8))
    points = torch.cat([batch.landmarks_ndc for batch in stream.batches(0, 20)])
    scale = 2 / (points.amax(1) - points.amin(1)).mean(1)
    assert 1.15 < scale.min() < 1.3 and 1.65 < scale.max() < 1.95


@pytest.mark.parametrize("workers", [0, 1])
def test_a_picture_that_does_not_decode_is_named(workers: int, tmp_path: Path, open_head: HeadModel) -> None:
    content = record("f0").jpeg
    broken = content[: content.index(b"\xff\xda")] + b"\xff\xd9"  # a sound header, no picture
    write_shard(tmp_path / "train-000000.tar", [replace(record("f0"), jpeg=broken)])
    with pytest.raises(Smirk3dError, match=r"no usable faces in its split train: [^\n]*f0"):
        _sampler(open_head, SourceConfig(tmp_path), workers=workers)


def test_rendered_heads_are_made_before_the_first_step(
    tmp_path: Path, open_head: HeadModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMIRK3D_CACHE", str(tmp_path))
    stream = _sampler(open_head, SourceConfig(kind="rendered", count=7))
    assert len(list((tmp_path / "rendered").glob("faces_*_pixels.npy"))) == 2
    monkeypatch.setattr(rendered_faces.RenderedFaces, "_make", None)  # none is made any more
    assert stream.batch(0).image.shape == (8, 3, SIZE, SIZE)
    flame_like = replace(open_head.data, expression_names=tuple(map(str, range(52))))
    with pytest.raises(Smirk3dError, match="need a head with the 52 ARKit actions"):
        sources.open_source(SourceConfig(kind="rendered"), stream.data, HeadModel(flame_like))


def test_faces_of_a_person_come_in_pairs_where_that_is_asked_for(shards: Path, open_head: HeadModel) -> None:
    data = DataConfig((SourceConfig(shards),), size=SIZE, batch_size=4, person_pairs=True)
    sampler = BatchSampler(data, AugmentConfig(), 1, open_head)
    rows, seen = [sampler.batch(step).person.view(2, 2) for step in range(8)], Counter()
    alone = [pair for batch in rows for pair in batch.tolist() if pair[0] != pair[1]]
    assert len(alone) <= 2  # the three unknown people, one of whom an epoch leaves out
    for step in range(4):  # an epoch of 16 of the 17 faces
        seen.update(sampler.plan(step).face.tolist())
    assert len(seen) == 16 and set(seen.values()) == {1}
    for world in (1, 2):
        for rank in range(world):
            person = sampler.share(0, rank, world).person.view(-1, 2)
            whole = sampler.batch(0).person.view(-1, 2)[rank::world]
            assert torch.equal(person, whole)  # pairs stay together


def test_pairs_of_unknown_people_are_refused(tmp_path: Path, open_head: HeadModel) -> None:
    write_shard(tmp_path / "train-000000.tar", [record(f"f{k}", seed=k) for k in range(3)])
    data = DataConfig((SourceConfig(tmp_path),), size=SIZE, batch_size=2, person_pairs=True)
    with pytest.raises(Smirk3dError, match=r"no person is known to have two.*stage\.losses\.identity=0"):
        BatchSampler(data, AugmentConfig(), 1, open_head)
