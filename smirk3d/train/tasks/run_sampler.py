"""The batches of a stage, and the note of which faces they are of."""

from __future__ import annotations

from smirk3d.datasets.sampler import BatchSampler
from smirk3d.train.provenance import DATA, data_fingerprint
from smirk3d.train.tasks.task import Workbench


def open_sampler(bench: Workbench) -> BatchSampler:
    """Open the data of a stage; the fingerprint of its faces goes into the run's record.

    Args:
        bench: The run, and the stage in its configuration.

    Raises:
        Smirk3dError: As `BatchSampler`.
    """
    config = bench.config
    assert config.stage is not None
    with bench.fabric.rank_zero_first(local=True):  # the first process fills the cache
        sampler = BatchSampler(config.data, config.augment, config.seed, bench.head)
    bench.record.setdefault(DATA, {})[config.stage.name] = data_fingerprint(sampler.sources)
    return sampler
