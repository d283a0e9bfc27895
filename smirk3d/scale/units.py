"""Units of a run: the photos of one shard, which are computed and written together."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Sequence
from dataclasses import dataclass

from smirk3d.batch.naming import Job
from smirk3d.batch.prefetch import BATCH_IMAGES, blocks_to_run
from smirk3d.export.tables.expressions_csv import table_name


@dataclass(frozen=True)
class Unit:
    """Photos of one shard.

    Attributes:
        name: Follows from the names of the photos alone, so that who computes the same unit again replaces its files.
        blocks: The photos, in blocks that are computed together.
    """

    name: str
    blocks: tuple[tuple[Job, ...], ...]

    @property
    def size(self) -> int:
        """Number of photos."""
        return sum(map(len, self.blocks))


def plan_units(jobs: Sequence[Job], done: Container[str], shard_size: int) -> list[Unit]:
    """Divide the photos that are not done into units.

    The blocks are those of the local run, and the bounds of the units are the same whatever is done, so that a run
    that goes on computes what an uninterrupted one does.

    Args:
        jobs: All photos of the run.
        done: Names of photos, as in tables, that need no work.
        shard_size: Photos of a unit, rounded up to whole blocks.
    """
    step = -(-shard_size // BATCH_IMAGES) * BATCH_IMAGES
    units: list[Unit] = []
    for start in range(0, len(jobs), step):
        part = jobs[start : start + step]
        todo = {job for job in part if table_name(job.name) not in done}
        if todo:
            blocks = tuple(map(tuple, blocks_to_run(part, todo)))
            units.append(Unit(_digest([job.name for block in blocks for job in block]), blocks))
    return units


def _digest(names: Sequence[str]) -> str:
    text = "\0".join(names).encode("utf-8", "backslashreplace")
    return hashlib.sha256(text).hexdigest()[:20]
