"""Computation of units on a Ray cluster: Ray Data actors that load the models once and write the shards themselves."""

# Ray's annotations are incomplete.
# pyright: reportMissingImports=false, reportMissingTypeStubs=false

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from smirk3d.assets import printable
from smirk3d.bounded_io import one_line
from smirk3d.errors import Smirk3dError
from smirk3d.scale.result_folder import ResultFolder
from smirk3d.scale.shard_task import ShardTask, ShardWorker, UnitCounts
from smirk3d.scale.unit_json import decode_counts, decode_unit, encode_counts, encode_unit
from smirk3d.scale.units import Unit

OWN_CLUSTER = "local"
WORKER_CPUS = 0.9
"""Share of a CPU that a worker asks for. With a whole one, a machine of two CPUs would have none left for Ray's own
tasks, and a run that goes on would wait for ever."""
WORKER_BYTES = 1_200_000_000
"""Memory that a worker asks for: models, and the photos of three batches."""
_STORE_BYTES = 100_000_000
_CONNECT_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class RayEngine:
    """Computes units on Ray; an `Engine` of `smirk3d.scale.run`.

    Attributes:
        address: "local": a cluster of this run on this machine; "auto": the one that runs here, or that RAY_ADDRESS
            names; else the address of a cluster.
        workers: Largest number of worker processes; None: one for each CPU of the cluster.
    """

    address: str = OWN_CLUSTER
    workers: int | None = None

    def __call__(
        self, units: Sequence[Unit], task: ShardTask, folder: ResultFolder
    ) -> Generator[UnitCounts, None, None]:
        """See `Engine`.

        Raises:
            Smirk3dError: Ray is not installed or cannot be reached, or as a worker does.
        """
        if not units:
            return
        with _connected(self.address) as ray:
            for row in self._rows(ray, units, task, folder):
                if row["error"]:
                    raise Smirk3dError(str(row["error"]))
                yield decode_counts(row["counts"])

    def _rows(self, ray: Any, units: Sequence[Unit], task: ShardTask, folder: ResultFolder) -> Iterator[dict[str, Any]]:
        most = max(1, min(self.workers or int(ray.cluster_resources().get("CPU", 1)), len(units)))
        items = [{"unit": encode_unit(unit)} for unit in units]
        results = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
            _Worker,
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=most, initial_size=most),
            fn_constructor_args=(task, folder, os.getcwd()),
            num_cpus=WORKER_CPUS,
            memory=WORKER_BYTES,
        )
        try:
            yield from results.iter_rows()
        except ray.exceptions.RayError as error:
            raise Smirk3dError(f"Ray: {_cause(error)}; then go on with --resume") from error


class _Worker:
    """A worker process: computes one unit at a time, with one thread, because there is a process for each CPU."""

    def __init__(self, task: ShardTask, results: ResultFolder, current_folder: str) -> None:
        if os.path.isdir(current_folder):
            os.chdir(current_folder)  # names of files are relative to the driver's folder
        self._task, self._results = task, results
        self._worker: ShardWorker | None = None

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, list[str]]:
        (unit,) = batch["unit"]
        try:
            counts = self._loaded().run(decode_unit(unit), self._results)
        except Smirk3dError as error:
            return {"counts": [""], "error": [str(error)]}
        return {"counts": [encode_counts(counts)], "error": [""]}

    def _loaded(self) -> ShardWorker:
        """Return the worker; its models are loaded with the first unit, so that errors become rows."""
        if self._worker is None:
            import torch

            torch.set_num_threads(1)
            self._worker = self._task.open()
        return self._worker


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """Connect to a cluster; yields the module ray."""
    _check_reachable(address)
    # Before Ray is imported, which would report its use to its makers.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")  # the local run does not step back either
    try:
        import ray
        import ray.data
        import ray.exceptions
    except ImportError as error:
        raise Smirk3dError("--ray needs Ray; pip install 'smirk3d[scale]'") from error
    _silence(ray)
    try:
        if address == OWN_CLUSTER:
            ray.init(address="local", include_dashboard=False, object_store_memory=_STORE_BYTES, **_QUIET)
        else:
            ray.init(address=address, **_QUIET)
    except Exception as error:  # Ray raises many things where a cluster cannot be reached
        raise _no_cluster(address, error) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Raise for an address at which nothing answers; Ray itself would try for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), _CONNECT_TIMEOUT_S).close()
    except (OSError, OverflowError) as error:
        raise _no_cluster(address, error) from error


def _no_cluster(address: str, error: Exception) -> Smirk3dError:
    return Smirk3dError(
        f"--ray {printable(address)}: no cluster there ({printable(one_line(error))}); start one with ray start "
        "--head, leave the address out, or set RAY_AUTH_MODE=token where it wants Ray's token"
    )


_QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}


def _silence(ray: Any) -> None:
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _cause(error: BaseException) -> str:
    """Return the innermost cause of an error of Ray in one line."""
    while (inner := getattr(error, "cause", None) or error.__cause__) is not None:
        error = inner
    return printable(one_line(error))
