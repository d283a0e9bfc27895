"""The part of a run's configuration on which checkpoints, folders and headers depend."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class CheckpointSettings(Protocol):
    """When checkpoints are written, and how many are kept."""

    @property
    def save_every(self) -> int:
        """Steps between checkpoints."""
        ...

    @property
    def keep_last(self) -> int:
        """Number of checkpoints that are kept."""
        ...


class SeededConfig(Protocol):
    """The configuration of any training; a dataclass that `smirk3d.train.config_file.to_yaml` writes."""

    @property
    def out_dir(self) -> Path:
        """Folder of the run."""
        ...

    @property
    def seed(self) -> int:
        """Seed of all that is random."""
        ...


class RunConfig(SeededConfig, Protocol):
    """The configuration of a run with steps and checkpoints."""

    @property
    def engine(self) -> CheckpointSettings:
        """Checkpoints, threads and so on: what does not change what is learned."""
        ...
