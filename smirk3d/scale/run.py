"""A run over many photos that writes shards: plan what is not done, compute it here or on Ray, count."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass

from smirk3d.batch.naming import Job
from smirk3d.batch.runner import BatchSummary
from smirk3d.export.tables.expressions_csv import table_name
from smirk3d.progress import Progress, failure_line, progress
from smirk3d.scale.checkpoint import claim, finished_images
from smirk3d.scale.result_folder import ResultFolder
from smirk3d.scale.shard_task import ShardTask, UnitCounts
from smirk3d.scale.units import Unit, plan_units

SHARD_SIZE = 512
"""Photos of a shard where the user sets no number; a killed worker loses the work on one shard at most."""
_FAILURES_SHOWN = 10

Engine = Callable[[Sequence[Unit], ShardTask, ResultFolder], Generator[UnitCounts, None, None]]
"""Computes units, in any order, and yields what became of each."""


@dataclass(frozen=True)
class ShardOptions:
    """Settings of a run.

    Attributes:
        resume: The folder may have shards of an earlier run, which goes on; photos that failed are tried again.
        shard_size: Photos of a shard, at least 1.
    """

    resume: bool = False
    shard_size: int = SHARD_SIZE


def compute_here(units: Sequence[Unit], task: ShardTask, folder: ResultFolder) -> Generator[UnitCounts, None, None]:
    """Compute units in this process; an `Engine`."""
    if not units:
        return
    with closing(task.open()) as worker:
        for unit in units:
            yield worker.run(unit, folder)


def run_sharded(
    jobs: Sequence[Job],
    folder: ResultFolder,
    task: ShardTask,
    engine: Engine = compute_here,
    options: ShardOptions | None = None,
    open_progress: Callable[[int], Progress] = progress,
) -> BatchSummary:
    """Compute photos into the shards of a folder; each photo is in exactly one of them.

    Args:
        jobs: The photos.
        folder: For the shards.
        task: What is done with them.
        engine: Where.
        options: Settings of the run.
        open_progress: Returns a progress display for a number of photos.

    Raises:
        UsageError: The folder has shards of another run.
        Smirk3dError: A model cannot be loaded, or a file cannot be read or written.
    """
    options = options or ShardOptions()
    with folder.locked():
        names = claim(folder, task.settings(), options.resume)
        done = finished_images(folder, task.prepare_resume(folder, names))
        units = plan_units(jobs, done, options.shard_size)
        n_before = sum(table_name(job.name) in done for job in jobs)
        with open_progress(len(jobs) - n_before) as display, closing(engine(units, task, folder)) as counts:
            total = _Total(display)
            for each in counts:
                total.add(each)
    return BatchSummary(total.done, total.failed, total.faces, n_before)


class _Total:
    """Counts units, and shows the first failures."""

    def __init__(self, display: Progress) -> None:
        self._display = display
        self.done = self.failed = self.faces = self._shown = 0

    def add(self, counts: UnitCounts) -> None:
        """Add the counts of a unit."""
        self.done += counts.done
        self.failed += counts.failed
        self.faces += counts.faces
        for name, reason in counts.failures[: _FAILURES_SHOWN - self._shown]:
            self._shown += 1
            self._display.note(failure_line(name, reason))
        for _ in range(counts.done + counts.failed):
            self._display.advance()
