"""The best weights of a stage by its validations."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from smirk3d.networks.checkpoint import ENCODER, NEURAL_RENDERER, read_networks, save_networks
from smirk3d.train.config import TrainConfig
from smirk3d.train.networks import Networks
from smirk3d.train.run_folder import is_first_process
from smirk3d.train.tasks.task import Criterion

_BEST = "best"
"""Entry of the run's record: stage, value and step of the best validation."""


class BestWeights:
    """Keeps the networks of the best validation of a stage in a file.

    A run that was killed after the file was written, and before its next checkpoint, repeats the same validations: the
    record of the checkpoint holds what the best was then, so that the same file comes out.

    Args:
        config: The run.
        stage: Name of the stage.
        criterion: How validations are compared.
        networks: The networks.
        record: Record of the run, which checkpoints hold.
    """

    def __init__(
        self, config: TrainConfig, stage: str, criterion: Criterion, networks: Networks, record: dict[str, Any]
    ) -> None:
        self._stage, self._criterion, self._networks, self._record = stage, criterion, networks, record
        self.path = best_path(config.out_dir, stage)

    def consider(self, measures: Mapping[str, float], step: int) -> None:
        """Note measures for the header of the exported file, and write the networks where they are the best so far.

        Args:
            measures: Result of a validation; without the measure of the criterion nothing is compared.
            step: Steps of the run that are done.
        """
        if not measures:
            return
        self._record.setdefault("measures", {})[self._stage] = dict(measures)
        value, best = measures.get(self._criterion.measure, math.nan), self._best()
        if math.isnan(value) or not self._criterion.is_better(value, best["value"] if best else None):
            return
        self._record[_BEST] = {"stage": self._stage, "value": value, "step": step}
        if is_first_process():
            meta = {"stage": self._stage, "step": str(step), self._criterion.measure: repr(value)}
            encoder, renderer = self._networks.encoder, self._networks.neural_renderer
            save_networks(self.path, encoder=encoder, neural_renderer=renderer, meta=meta)  # type: ignore[arg-type]

    def restore(self, report: Callable[[str], None]) -> None:
        """Load the best weights into the networks, where there was a validation; all processes read the file.

        Raises:
            Smirk3dError: The file is missing or damaged.
        """
        best = self._best()
        if best is None:
            return
        file = read_networks(self.path)
        file.load_into(self._networks.encoder, ENCODER)
        if self._networks.neural_renderer is not None:
            file.load_into(self._networks.neural_renderer, NEURAL_RENDERER)
        report(f"stage {self._stage}: the weights of step {best['step']} are the best, and are kept")

    def _best(self) -> dict[str, Any] | None:
        best = self._record.get(_BEST)
        return best if best is not None and best["stage"] == self._stage else None


def best_path(folder: Path, stage: str) -> Path:
    """Return the path of the best networks of a stage."""
    return folder / f"best_{stage}.safetensors"
