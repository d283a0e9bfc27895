"""The task of the last stage: averaged weights, a calibrated output, and its measured errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from smirk3d.datasets.cached_renderings import renderings_folder
from smirk3d.datasets.shards import DataError
from smirk3d.datasets.synthetic.rendered_faces import RenderAugmentation, RenderedFaces
from smirk3d.errors import Smirk3dError
from smirk3d.networks.encoder import Encoder, predicts_arkit
from smirk3d.train.checkpoint import read_modules
from smirk3d.train.checkpoint_folder import checkpoints_between
from smirk3d.train.freeze import freeze
from smirk3d.train.run_folder import EXPRESSION_STD
from smirk3d.train.stages import FinishStage
from smirk3d.train.tasks.output_calibration import (
    CALIBRATION_SEED,
    VALIDATION_SEED,
    average_states,
    calibrate_output_layer,
    expression_errors,
)
from smirk3d.train.tasks.task import Criterion, ParameterGroup, Update, Workbench
from smirk3d.train.validation import RenderedValidation


class FinishTask:
    """Finishes the networks as `FinishStage` says; its one step learns nothing.

    Args:
        bench: The run and its networks.

    Raises:
        Smirk3dError: The head's expressions can be neither calibrated nor measured.
    """

    criterion = Criterion("correlation")

    def __init__(self, bench: Workbench) -> None:
        assert isinstance(bench.config.stage, FinishStage)
        self.bench, self.stage = bench, bench.config.stage
        self.encoder: Encoder = bench.networks.encoder  # type: ignore[assignment]
        self._is_arkit = predicts_arkit(self.encoder.spec)
        if not self._is_arkit and (self.stage.calibrate or self.stage.error_faces):
            raise Smirk3dError(
                f"stage {self.stage.name}: only ARKit weights can be calibrated and measured on rendered faces; set "
                "calibrate: false and error_faces: 0"
            )
        self._validation = RenderedValidation(bench.config, bench.head, bench.fabric.device)

    @property
    def faults(self) -> tuple[DataError, ...]:
        """None."""
        return ()

    def modules(self) -> Mapping[str, nn.Module]:
        """Return none."""
        return {}

    def initialise(self) -> None:
        """Keep the networks as they are."""

    def groups(self) -> list[ParameterGroup]:
        """Return none."""
        return []

    def rate_factor(self, step: int) -> float:
        """Return 1; nothing learns."""
        return 1.0

    def batches(self, start: int, stop: int) -> Iterator[None]:
        """Yield nothing, once."""
        yield from [None] * (stop - start)

    def updates(self, batch: Any, step: int) -> Iterator[Update]:
        """Yield none."""
        yield from ()

    def validate(self) -> dict[str, float]:
        """Measure the encoder on rendered people."""
        return self._validation.encoder(self.encoder) if self._is_arkit else {}

    def complete(self) -> None:
        """Average, calibrate and measure."""
        if self.stage.average > 1:
            self._average()
        with freeze(self.encoder):
            if self.stage.calibrate:
                calibrate_output_layer(self.encoder, self._faces(self.stage.calibration_faces, CALIBRATION_SEED))
            if self.stage.error_faces:
                measured = expression_errors(self.encoder, self._faces(self.stage.error_faces, VALIDATION_SEED))
                errors = (measured.square() + self.stage.photo_error**2).sqrt()
                self.bench.record[EXPRESSION_STD] = errors.tolist()

    @torch.no_grad()
    def _average(self) -> None:
        """Replace the weights by their mean over the last checkpoints of the stage before."""
        run = self.bench.run
        stages = run.all_stages[:-1]
        if not stages:
            raise Smirk3dError(
                f"stage {self.stage.name}: average must be 1 where no stage is before it; set average: 1"
            )
        stop = sum(stage.steps for stage in stages)
        paths = checkpoints_between(run.out_dir, stop - stages[-1].steps, stop)[: self.stage.average]
        if len(paths) < self.stage.average:
            raise Smirk3dError(
                f"stage {self.stage.name}: there are {len(paths)} checkpoints of the stage {stages[-1].name} and not "
                f"{self.stage.average}; raise engine.keep_last, lower engine.save_every, or lower average"
            )
        states = [read_modules(path) for path in paths]
        shares = (1 / len(states),) * len(states)
        networks = self.bench.networks
        for name, network in (("encoder", networks.encoder), ("neural_renderer", networks.neural_renderer)):
            if network is not None:
                network.load_state_dict(average_states([state[name] for state in states], shares))

    def _faces(self, count: int, seed: int) -> RenderedFaces:
        strength = self.stage.domain_randomization
        variation = RenderAugmentation(strength=0.0, weak=0.0, domain_randomization=strength)
        head, size = self.bench.head, self.bench.config.data.size
        return RenderedFaces(head, count, seed, size, folder=renderings_folder(None), variation=variation)
