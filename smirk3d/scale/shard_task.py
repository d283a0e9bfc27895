"""The interface of what is done with a unit of photos, on this machine and on others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from smirk3d.scale.result_folder import ResultFolder
from smirk3d.scale.units import Unit


@dataclass(frozen=True)
class UnitCounts:
    """What became of a unit; small, because it travels from the worker to the driver.

    Attributes:
        done: Photos whose rows were written.
        failed: Photos with a row that has the reason.
        faces: Faces written.
        failures: The first failures, each as name and reason.
    """

    done: int
    failed: int
    faces: int
    failures: tuple[tuple[str, str], ...] = ()


class ShardWorker(Protocol):
    """Computes units and writes their files; it holds the models."""

    def run(self, unit: Unit, folder: ResultFolder) -> UnitCounts:
        """Compute a unit and write its files; the last one marks it as finished.

        Args:
            unit: The photos.
            folder: For the files.

        Raises:
            Smirk3dError: A file cannot be written, or a model cannot be loaded.
        """
        ...

    def close(self) -> None:
        """Free the models."""
        ...


class ShardTask(Protocol):
    """What a run does; it is sent to other processes, and holds settings alone."""

    def open(self) -> ShardWorker:
        """Load the models.

        Raises:
            Smirk3dError: One cannot be loaded.
        """
        ...

    def settings(self) -> dict[str, object]:
        """Return what the rows depend on besides the photos, as JSON."""
        ...

    def prepare_resume(self, folder: ResultFolder, names: list[str]) -> list[str]:
        """Remove what an earlier run has to do again, and return the shards of what is finished.

        Args:
            folder: Of the results.
            names: Of its files.
        """
        ...
