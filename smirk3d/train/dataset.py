"""Training faces in memory, and the batches that are cut from them.

What an epoch shows is decided by (seed, epoch), and what a batch shows by (seed, epoch, step), never by what was drawn
before: a run that goes on at a position sees what an uninterrupted one would have seen.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from smirk3d.errors import Smirk3dError
from smirk3d.pipeline.crop import Crop
from smirk3d.pipeline.images import read_image
from smirk3d.train.batch import TrainingBatch
from smirk3d.train.shards import Fault, Record, read_folder

VALIDATION_SCALE = 1.6
"""Side of the crop over that of the face when a network is judged. Source: METHOD section 7."""


@dataclass(frozen=True, eq=False)
class FaceSet:
    """N encoded faces of one or several sources.

    Attributes:
        keys: N names, for messages. jpegs: N encoded pictures.
        landmarks_px: (N, 478, 2) float32, pixels of the pictures; size_px: (N, 2) int64, their widths and heights.
        person: (N,) int64, equal for the faces of one person of one source; faces of unknown people have their own.
        draw: (N,) in (0, 1], how likely a face is to be part of an epoch.
        faults: What could not be read.
    """

    keys: tuple[str, ...]
    jpegs: tuple[bytes, ...]
    landmarks_px: np.ndarray
    size_px: np.ndarray
    person: np.ndarray
    draw: np.ndarray
    faults: tuple[Fault, ...] = ()

    def __len__(self) -> int:
        return len(self.jpegs)

    @staticmethod
    def from_records(
        sources: Sequence[Iterable[Record]], weights: Sequence[float] | None = None, faults: Sequence[Fault] = ()
    ) -> FaceSet:
        """Gather faces.

        Args:
            sources: Faces; a person's name counts within its source. weights: How often the faces of a source are
                drawn, relative to the other sources; positive, equal by default. faults: What is known to be missing.

        Raises:
            ValueError: There are no faces, or a weight is not positive.
        """
        weights = [1.0] * len(sources) if weights is None else weights
        if not all(weight > 0 for weight in weights):
            raise ValueError(f"weights must be positive, not {list(weights)}")
        records: list[Record] = []
        people: list[tuple[int, str, int]] = []
        draw: list[float] = []
        for number, (source, weight) in enumerate(zip(sources, weights, strict=True)):
            for record in source:
                people.append((number, record.person, -1 if record.person else len(records)))
                records.append(record)
                draw.append(weight / max(weights))
        if not records:
            raise ValueError("no faces")
        number_of = {person: k for k, person in enumerate(dict.fromkeys(people))}
        return FaceSet(
            keys=tuple(record.key for record in records),
            jpegs=tuple(record.jpeg for record in records),
            landmarks_px=np.stack([record.landmarks_px for record in records]),
            size_px=np.array([record.size_px for record in records], dtype=np.int64),
            person=np.array([number_of[person] for person in people], dtype=np.int64),
            draw=np.array(draw),
            faults=tuple(faults),
        )

    @staticmethod
    def from_folders(
        folders: Sequence[str | Path], split: str = "train", weights: Sequence[float] | None = None
    ) -> FaceSet:
        """Read a split of folders of shards; see `from_records` and `smirk3d.train.shards.read_folder`.

        Raises:
            Smirk3dError: A folder has no such shards, or they hold no face that can be used.
        """
        faults: list[Fault] = []
        sources = [list(read_folder(folder, split, faults.append)) for folder in folders]
        for folder, source in zip(folders, sources, strict=True):
            if not source:
                reason = faults[0] if faults else "its shards are empty; prepare them again"
                raise Smirk3dError(f"{folder}: no usable faces in its split {split}: {reason}")
        return FaceSet.from_records(sources, weights, faults)

    def landmark_weight(self, index: np.ndarray) -> np.ndarray:
        """Return (B, 478) float32, 1 for points in the picture and 0 for those outside, which are guesses."""
        points, size = self.landmarks_px[index], self.size_px[index][:, None]
        return np.all((points >= 0) & (points <= size), axis=-1).astype(np.float32)


@dataclass(frozen=True)
class Position:
    """A place in a run: the epoch, and the step within it, both from 0."""

    epoch: int = 0
    step: int = 0


@dataclass(frozen=True)
class LoaderConfig:
    """How batches are made.

    Attributes:
        batch_size: Faces in each. size: Pixels a side of the crops.
        crop_scale: Lowest and highest side of the crop over that of the face; drawn uniformly.
        most_per_person: At most so many faces of a person in an epoch, others in the next; None is no limit.
        seed: Decides order and crops. workers: Processes that prepare batches; with 0 the caller's does.

    Raises:
        ValueError: A number is out of its range.
    """

    batch_size: int = 32
    size: int = 224
    crop_scale: tuple[float, float] = (1.2, 1.8)
    most_per_person: int | None = 20
    seed: int = 0
    workers: int = 0

    def __post_init__(self) -> None:
        cap_fits = self.most_per_person is None or self.most_per_person >= 1
        if self.batch_size < 1 or self.size < 2 or self.workers < 0 or self.seed < 0 or not cap_fits:
            raise ValueError(f"a number is out of its range: {self}")
        if not 0 < self.crop_scale[0] <= self.crop_scale[1]:
            raise ValueError(f"crop_scale must be two rising positive numbers, not {self.crop_scale}")


class FaceLoader:
    """Endless batches of random crops.

    Args:
        faces: What to show. config: How.

    Raises:
        ValueError: An epoch has fewer faces than a batch.
    """

    def __init__(self, faces: FaceSet, config: LoaderConfig | None = None) -> None:
        self.faces, self.config = faces, config or LoaderConfig()
        self.steps_per_epoch = len(self.order(0)) // self.config.batch_size
        if self.steps_per_epoch == 0:
            raise ValueError(f"an epoch of {len(self.order(0))} faces is smaller than a batch; lower batch_size")

    def order(self, epoch: int) -> np.ndarray:
        """Return the faces (K,) int64 of an epoch in their order; K is the same for every epoch."""
        return epoch_order(self.faces, self.config.most_per_person, self.config.seed, epoch)

    def batch(self, position: Position) -> TrainingBatch:
        """Return the batch at a position."""
        return _Epoch(self, position.epoch)[position.step]

    def batches(self, start: Position = Position()) -> Iterator[tuple[Position, TrainingBatch]]:
        """Yield batches for ever, each with the position at which the run goes on after it."""
        step = start.step
        for epoch in itertools.count(start.epoch):
            loader = DataLoader(
                _Epoch(self, epoch),
                batch_size=None,
                sampler=range(step, self.steps_per_epoch),
                num_workers=self.config.workers,
            )
            for batch in loader:
                step += 1
                is_last = step >= self.steps_per_epoch
                yield Position(epoch + 1, 0) if is_last else Position(epoch, step), batch
            step = 0


class _Epoch(Dataset):
    """The batches of one epoch by step."""

    def __init__(self, loader: FaceLoader, epoch: int) -> None:
        self.faces, self.config, self.epoch = loader.faces, loader.config, epoch
        self.order = loader.order(epoch)

    def __getitem__(self, step: int) -> TrainingBatch:
        config = self.config
        index = self.order[step * config.batch_size : (step + 1) * config.batch_size]
        scale = np.random.default_rng([config.seed, self.epoch, step]).uniform(*config.crop_scale, len(index))
        return collate(self.faces, index, scale, config.size)


def epoch_order(faces: FaceSet, most_per_person: int | None, seed: int, epoch: int) -> np.ndarray:
    """Draw the faces of an epoch: of each person at most so many, of each source its share, each face once.

    Returns:
        (K,) int64 in random order; K depends on the faces and the cap alone.
    """
    shuffled = np.random.default_rng([seed, epoch]).permutation(len(faces))
    if most_per_person is not None:
        shuffled = shuffled[_rank_among_equals(faces.person[shuffled]) < most_per_person]
    # Of a source that is drawn half as often as the others, the first half of its faces in this order.
    share = faces.draw[shuffled]
    _, group, count = np.unique(share, return_inverse=True, return_counts=True)
    return shuffled[_rank_among_equals(share) < np.ceil(share * count[group.ravel()])]


def _rank_among_equals(values: np.ndarray) -> np.ndarray:
    """Return for each value how many equal ones come before it: [7, 5, 7, 7] gives [0, 0, 1, 2]."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    first = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    start = np.repeat(first, np.diff(np.r_[first, len(values)]))
    rank = np.empty(len(values), dtype=np.int64)
    rank[order] = np.arange(len(values)) - start
    return rank


def collate(faces: FaceSet, index: np.ndarray, scale: np.ndarray | float, size: int = 224) -> TrainingBatch:
    """Decode faces and cut their crops.

    Args:
        faces: All faces. index: (B,) int, which. scale: (B,) or one, side of the crop over that of the face.
        size: Pixels a side of the crops.

    Returns:
        B crops, black outside of the pictures, without targets.

    Raises:
        Smirk3dError: A picture cannot be decoded.
    """
    index = np.asarray(index)
    images, landmarks = [], []
    for k, each in zip(index, np.broadcast_to(scale, index.shape)):
        try:
            pixels = read_image(faces.jpegs[k]).pixels
        except Smirk3dError as error:
            raise Smirk3dError(f"face {faces.keys[k]}: {error}") from error
        crop = Crop.from_landmarks(faces.landmarks_px[k], float(each), size)
        images.append(crop.cut(pixels, antialias=True))
        landmarks.append(crop.to_ndc(crop.to_crop(faces.landmarks_px[k])))
    return TrainingBatch(
        image=torch.stack(images),
        landmarks_ndc=torch.from_numpy(np.stack(landmarks).astype(np.float32)),
        landmark_weight=torch.from_numpy(faces.landmark_weight(index)),
        person=torch.from_numpy(faces.person[index]),
        target=None,
        target_weight=torch.zeros(len(index)),
    )
