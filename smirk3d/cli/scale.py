"""The flags of runs over many photos that write shards, and the decision for such a run."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg
from tyro.constructors import PrimitiveConstructorSpec

from smirk3d.assets import printable
from smirk3d.cli.console import print_result
from smirk3d.cli.options import Command
from smirk3d.errors import UsageError

if TYPE_CHECKING:
    from smirk3d.batch.naming import Job
    from smirk3d.scale.run import Engine
    from smirk3d.scale.shard_task import ShardTask

_WITHOUT_EFFECT = ("inputs", "out", "resume", "ray", "workers", "shard_size", "debug", "device")
"""Flags that the rows do not depend on."""

_OPTIONAL_ADDRESS = PrimitiveConstructorSpec(
    nargs=(0, 1),
    metavar="[ADDRESS|auto]",
    instance_from_str=lambda values: values[0] if values else "local",
    is_instance=lambda value: value is None or isinstance(value, str),
    str_from_instance=lambda value: [] if value is None else [value],
)


@dataclass(frozen=True, kw_only=True)
class ScaleFlags(Command):
    """Flags of a subcommand that can write Parquet shards instead of its usual files."""

    ray: Annotated[str | None, _OPTIONAL_ADDRESS] = None
    """Compute on Ray and write shards: without a value on all CPUs of this machine; auto: the cluster that runs here;
    or the address of one. Write it after the inputs."""
    workers: Annotated[int | None, arg(metavar="N")] = None
    """Largest number of worker processes with --ray; by default one for each CPU."""
    shard_size: Annotated[int | None, arg(metavar="N")] = None
    """Photos of a shard, by default 512; a killed worker loses the work on one shard at most."""

    @property
    def _has_own_shards(self) -> bool:
        """Whether the command writes shards without a cluster, too."""
        return False

    def writes_shards(self, inputs: tuple[str, ...], out: str) -> bool:
        """Return whether the flags ask for shards: a cluster, inputs that are fetched, or an output in a store.

        Raises:
            UsageError: A flag of such a run has a wrong value, or is set without one.
        """
        from smirk3d.scale.inputs import needs_fetching, with_lists
        from smirk3d.scale.stores import is_stored

        for flag, value in (("--workers", self.workers), ("--shard-size", self.shard_size)):
            if value is not None and value < 1:
                raise UsageError(f"{flag} {value}: must be 1 or more")
        if self.workers is not None and self.ray is None:
            raise UsageError("--workers: is for --ray; add it")
        wanted = self.ray is not None or is_stored(out) or any(map(needs_fetching, with_lists(inputs)))
        if self.shard_size is not None and not wanted and not self._has_own_shards:
            raise UsageError("--shard-size: is for shards; add --ray")
        return wanted

    def write_shards(self, jobs: list[Job], task: ShardTask, out: str, resume: bool) -> int:
        """Compute photos into the shards of a folder, print the counts, and return the exit code."""
        from smirk3d.scale.result_folder import ResultFolder
        from smirk3d.scale.run import SHARD_SIZE, ShardOptions, run_sharded

        options = ShardOptions(resume, self.shard_size or SHARD_SIZE)
        summary = run_sharded(jobs, ResultFolder(out), task, self._engine(), options)
        counts = f"images: {summary.done} done, {summary.failed} failed"
        counts += f", {summary.skipped} done before" if summary.skipped else ""
        print_result(f"{counts}; faces: {summary.faces}; shards: {printable(out)}")
        return 1 if summary.failed else 0

    def shard_settings(self) -> dict[str, object]:
        """Return what the rows depend on besides the photos, as JSON."""
        from smirk3d import __version__

        flags = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in _WITHOUT_EFFECT}
        return {"version": __version__, "command": type(self).__name__, **flags}

    def _engine(self) -> Engine:
        if self.ray is None:
            from smirk3d.scale.run import compute_here

            return compute_here
        from smirk3d.scale.ray_engine import RayEngine

        return RayEngine(self.ray, self.workers)


def check_shard_folder(out: str, suffixes: tuple[str, ...]) -> None:
    """Check that --out names a folder.

    Args:
        out: The value of the flag.
        suffixes: Those of files that the command writes without shards.

    Raises:
        UsageError: It ends like such a file, or is one.
    """
    if out.lower().endswith(suffixes) or os.path.isfile(out):
        raise UsageError(f"--out {printable(out)}: shards are written to a folder; name one, or s3://BUCKET/PREFIX")
