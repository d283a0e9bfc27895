"""Keys that the configurations of small networks share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from smirk3d.datasets.config_checks import check_positive, check_within


@dataclass(frozen=True)
class NetworkEngineConfig:
    """Threads and checkpoints; does not change what is learned, except for rounding.

    Raises:
        ValueError: A value is out of its range.
    """

    threads: int = 1
    """Threads of the training."""
    save_every: int = 500
    """Steps between checkpoints."""
    keep_last: int = 2
    """Number of checkpoints that are kept."""

    def __post_init__(self) -> None:
        check_within(self, 1, math.inf, "threads", "save_every", "keep_last")


class NetworkTrainConfig(Protocol):
    """The configuration of the training of a small network; see `smirk3d.train.run_config.RunConfig`."""

    @property
    def out_dir(self) -> Path:
        """Folder of the run."""
        ...

    @property
    def seed(self) -> int:
        """Seed of all that is random."""
        ...

    @property
    def lr(self) -> float:
        """Largest learning rate of AdamW."""
        ...

    @property
    def weight_decay(self) -> float:
        """Weight decay of AdamW."""
        ...

    @property
    def ema(self) -> float:
        """Decay of the exponential moving average of the weights."""
        ...

    @property
    def engine(self) -> NetworkEngineConfig:
        """Threads and checkpoints."""
        ...


def check_optimizer(config: NetworkTrainConfig) -> None:
    """Check the learning rate, the weight decay and the moving average.

    Raises:
        ValueError: One is out of its range.
    """
    check_positive(config, "lr")
    check_within(config, 0, math.inf, "weight_decay")
    check_within(config, 0, 1, "ema")
