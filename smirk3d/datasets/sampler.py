"""Batches of a training run, each a function of configuration and step number alone.

A resumed run therefore receives the batches of an uninterrupted one, and processes that share a step need no
communication. A batch is made in `PARTS` independent parts, of which a process makes only its own.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from smirk3d.datasets.augment import augment
from smirk3d.datasets.config import AugmentConfig, DataConfig
from smirk3d.datasets.shards import DataError
from smirk3d.datasets.sources import FaceSource, open_source
from smirk3d.datasets.training_batch import TrainingBatch
from smirk3d.errors import Smirk3dError
from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams

PARTS = 8
"""Row k of a batch belongs to part k mod 8; each part has its own random numbers."""
_MIX, _ORDER, _CROPS = range(3)
"""Part of the seed that separates the uses of random numbers."""


class BatchSampler:
    """Makes the batches of a run.

    Args:
        data: Sources, sampling and crops.
        augment: Random changes of the crops.
        seed: Of the crops and the augmentation; `data.seed` decides which faces are drawn.
        head: Model that the targets are parameters of; on any device, not changed.

    Raises:
        Smirk3dError: As `smirk3d.datasets.sources.open_source`.
    """

    def __init__(self, data: DataConfig, augment: AugmentConfig, seed: int, head: HeadModel) -> None:
        self.data, self.augment, self.seed = data, augment, seed
        is_elsewhere = head.v_template.device.type != "cpu"
        self._head = copy.deepcopy(head).cpu() if is_elsewhere else head
        self.sources: tuple[FaceSource, ...] = tuple(
            open_source(source, data, self._head) for source in data.all_sources
        )
        names = {name for source in self.sources for name in source.target_names}
        self._target_sizes = {name: self._head.spec[name].size for name in self._head.spec.names if name in names}
        self._first_person = np.cumsum([0, *(source.people for source in self.sources)])
        if data.person_pairs:
            _check_known_persons(self.sources)
        self._orders = [
            _SourceOrder(source, share, data, number)
            for number, (source, share) in enumerate(zip(self.sources, self._shares))
        ]

    def __len__(self) -> int:
        return sum(len(source) for source in self.sources)

    @property
    def faults(self) -> tuple[DataError, ...]:
        """Faces that could not be read."""
        return tuple(fault for source in self.sources for fault in source.faults)

    def batch(self, step: int) -> TrainingBatch:
        """Return the whole batch of a step, augmented, on the CPU.

        The rows of a source are consecutive. Faces without a target have zeros; where no source has targets, there is
        no target. Sources have disjoint person numbers.

        Args:
            step: Number of the step, from 0.

        Raises:
            Smirk3dError: An image cannot be decoded, or kornia is not installed.
        """
        return self.share(step)

    def share(self, step: int, rank: int = 0, world: int = 1) -> TrainingBatch:
        """Return the rows `rank`, `rank + world`, ... of a step's batch; with `data.person_pairs` pairs of rows.

        Args:
            step: Number of the step, from 0.
            rank: Number of the process, from 0.
            world: Number of processes.

        Raises:
            ValueError: The processes do not divide the batch size.
        """
        size = self.data.batch_size
        if size % world or not 0 <= rank < world:
            raise ValueError(f"process {rank} of {world} has no equal share of {size} faces")
        wanted = _rows(size, rank, world, is_paired=self.data.person_pairs)
        parts = np.unique(wanted % PARTS)
        plan = self.plan(step)
        batch = _joined([self._part(step, part, plan) for part in parts.tolist()])
        rows = np.concatenate([np.arange(part, size, PARTS) for part in parts])
        place = np.argsort(rows)
        return batch.take(torch.from_numpy(place[np.searchsorted(rows[place], wanted)]))

    def batches(self, start: int, stop: int, rank: int = 0, world: int = 1) -> Iterator[TrainingBatch]:
        """Yield a process's share of the steps in [start, stop), prefetched by `data.workers` processes."""
        loader = DataLoader(
            _Shares(self, rank, world),
            batch_size=None,
            sampler=range(start, stop),
            num_workers=self.data.workers,
            generator=torch.Generator().manual_seed(0),  # else it would use the global generator
        )
        for item in loader:
            if isinstance(item, Smirk3dError):
                raise item
            yield item

    def plan(self, step: int) -> Plan:
        """Return which faces a step shows: the share of every source, rounded at random to whole faces."""
        data = self.data
        bounds = np.cumsum([0.0, *self._shares]) * data.batch_size
        bounds[-1] = data.batch_size
        counts = np.diff(np.floor(bounds + np.random.default_rng([data.seed, _MIX, step]).random()).astype(int))
        faces = [order.faces(step, count) for order, count in zip(self._orders, counts.tolist())]
        return Plan(np.repeat(np.arange(len(counts)), counts), np.concatenate(faces))

    @property
    def _shares(self) -> list[float]:
        weights = [source.weight for source in self.data.all_sources]
        return [weight / sum(weights) for weight in weights]

    def _part(self, step: int, part: int, plan: Plan) -> TrainingBatch:
        rng = np.random.default_rng([self.seed, _CROPS, step, part])
        source, face = plan.source[part::PARTS], plan.face[part::PARTS]
        batches = [self._completed(number, face[source == number], rng) for number in np.unique(source).tolist()]
        generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
        head = self._head if self._target_sizes else None
        return _without_untrusted_targets(augment(_joined(batches), self.augment, generator, head))

    def _completed(self, number: int, face: np.ndarray, rng: np.random.Generator) -> TrainingBatch:
        """Return faces of a source with the target fields of all sources and distinct person numbers."""
        batch = self.sources[number].batch(face, rng)
        known = {} if batch.target is None else dict(batch.target.items())
        target = {name: known.get(name, torch.zeros(len(face), size)) for name, size in self._target_sizes.items()}
        person = batch.person + int(self._first_person[number])
        return replace(batch, person=person, target=FaceParams(**target) if target else None)


@dataclass(frozen=True, eq=False)
class Plan:
    """The faces of a step.

    Attributes:
        source: (B,) int64, number of the source.
        face: (B,) int64, number of the face in its source.
    """

    source: np.ndarray
    face: np.ndarray


class _SourceOrder:
    """The endless sequence of a source's faces, epoch after epoch; every step has its own stretch of it."""

    def __init__(self, source: FaceSource, share: float, data: DataConfig, number: int) -> None:
        self._source, self._seed = source, [data.seed, _ORDER, number]
        self._is_paired = data.person_pairs and source.people < len(source)
        stretch = math.ceil(share * data.batch_size)
        self._stretch = stretch + stretch % 2 if self._is_paired else stretch
        self._recent: dict[int, np.ndarray] = {}
        self._per_epoch = len(self._order(0))

    def faces(self, step: int, count: int) -> np.ndarray:
        """Return the faces (count,) of a step; the rest of its stretch comes in another epoch."""
        places = step * self._stretch + np.arange(count)
        found = [self._order(place // self._per_epoch)[place % self._per_epoch] for place in places.tolist()]
        return np.array(found, dtype=np.int64)

    def _order(self, epoch: int) -> np.ndarray:
        if epoch not in self._recent:
            rng = np.random.default_rng([*self._seed, epoch])
            order = self._source.order(rng)
            if self._is_paired:
                order = _in_pairs(order, self._source.persons_of(order), rng)
            self._recent = {**dict(list(self._recent.items())[-1:]), epoch: order}
        return self._recent[epoch]


def _in_pairs(order: np.ndarray, person: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Arrange faces (K,) of persons (K,) so that rows 2k and 2k + 1 show one person where that is possible.

    Returns:
        (K - K mod 2,) the pairs, and the faces without a partner two by two, in random order.
    """
    by_person = np.argsort(person, kind="stable")
    ordered = person[by_person]
    first = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    count = np.diff(np.r_[first, len(ordered)])
    place = np.arange(len(ordered)) - np.repeat(first, count)
    has_partner = place < np.repeat(count - count % 2, count)
    single = rng.permutation(by_person[~has_partner])
    rows = np.concatenate([by_person[has_partner], single[: len(single) - len(single) % 2]]).reshape(-1, 2)
    return order[rows[rng.permutation(len(rows))].reshape(-1)]


def _rows(size: int, rank: int, world: int, *, is_paired: bool) -> np.ndarray:
    """Return the rows of a process; pairs of rows stay together where the processes divide them."""
    if is_paired and size % (2 * world) == 0:
        return np.arange(size).reshape(-1, 2)[rank::world].reshape(-1)
    return np.arange(rank, size, world)


def _check_known_persons(sources: Sequence[FaceSource]) -> None:
    if all(source.people == len(source) for source in sources):
        raise Smirk3dError(
            "the identity loss compares photos of one person, and no person is known to have two; prepare them with a "
            "folder for each person, or set the loss to 0 (stage.losses.identity=0)"
        )


class _Shares(Dataset):
    """A process's share of each step; errors are returned as items, because raising would wrap them in the worker."""

    def __init__(self, sampler: BatchSampler, rank: int, world: int) -> None:
        self._sampler, self._rank, self._world = sampler, rank, world

    def __getitem__(self, step: int) -> TrainingBatch | Smirk3dError:
        try:
            return self._sampler.share(step, self._rank, self._world)
        except Smirk3dError as error:
            return error


def _joined(batches: Sequence[TrainingBatch]) -> TrainingBatch:
    """Concatenate batches with the same fields."""

    def cat(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    names = [each.name for each in fields(TrainingBatch) if each.name != "target"]
    targets = [dict(batch.target.items()) for batch in batches if batch.target is not None]
    target = FaceParams(**cat(targets)) if targets else None
    return TrainingBatch(target=target, **cat([{name: getattr(batch, name) for name in names} for batch in batches]))


def _without_untrusted_targets(batch: TrainingBatch) -> TrainingBatch:
    """Return a batch in which targets of weight 0 are zeros, also after augmentation."""
    if batch.target is None:
        return batch
    trusted = batch.target_weight[:, None] > 0
    target = {name: torch.where(trusted, value, 0.0) for name, value in batch.target.items()}
    return replace(batch, target=FaceParams(**target))
