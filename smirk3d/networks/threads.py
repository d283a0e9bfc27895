"""One rule for the threads of networks: those that detect and those that compute do not fight for the same cores.

A pool of threads of torch or ONNX Runtime waits for work by spinning. Where the pools and the detection's thread
together have more threads than there are cores, they take the cores from each other and most of the time is lost.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

_VARIABLE = "OMP_NUM_THREADS"
FEW_FACES = 4
"""Up to so many faces one thread computes as fast as several: the operations are many and small, and a pool that waits
between them takes a core from the detection and from other programs."""


def core_count() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def network_threads() -> int:
    """Return the threads for networks beside a thread that detects: one less than cores, or OMP_NUM_THREADS."""
    own = os.environ.get(_VARIABLE, "")
    return int(own) if own.isdigit() and int(own) > 0 else max(1, core_count() - 1)


@contextmanager
def shared_torch_threads() -> Iterator[int]:
    """Let several threads compute with torch beside one that detects.

    Yields:
        How many: two, each of which computes with half of `network_threads`, since much of the work on a batch is no
        work for several cores; one where torch has one thread, which is the caller's wish or all that there is.
    """
    import torch

    before = torch.get_num_threads()
    count = 1 if before == 1 else 2
    torch.set_num_threads(max(1, min(before, network_threads()) // count))
    try:
        yield count
    finally:
        torch.set_num_threads(before)


@contextmanager
def torch_threads_for(n_faces: int) -> Iterator[None]:
    """Let torch compute `FEW_FACES` on one thread, and more faces on as many threads as it has."""
    import torch

    before = torch.get_num_threads()
    if before == 1 or n_faces > FEW_FACES:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
