"""The task of a stage of analysis by neural synthesis."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from smirk3d.datasets.shards import DataError
from smirk3d.datasets.training_batch import TrainingBatch
from smirk3d.networks.encoder import Encoder, predicts_arkit
from smirk3d.train.freeze import freeze_statistics
from smirk3d.train.initialization import RENDERER_TRAINED
from smirk3d.train.loss_context import LossContext
from smirk3d.train.losses.losses import LossTerms
from smirk3d.train.networks import ENCODERS
from smirk3d.train.recipes.analysis_by_synthesis import StepOutput, cycle_step, reconstruction_step
from smirk3d.train.schedule import cycle_update_target, learning_rate_factor, step_generator
from smirk3d.train.tasks.paired_renders import PairedRenders
from smirk3d.train.tasks.run_sampler import open_sampler
from smirk3d.train.tasks.task import Clip, Criterion, ParameterGroup, Update, Workbench
from smirk3d.train.validation import RenderedValidation

TRAINED_RENDERER_LR = 5e-5
"""Learning rate of a neural renderer that starts trained: a larger one makes it forget expressions."""


class SynthesisTask:
    """Trains encoder and neural renderer as `StageConfig` says.

    Args:
        bench: The run and its networks.
    """

    criterion = Criterion("correlation")

    def __init__(self, bench: Workbench) -> None:
        self.bench, self.stage = bench, bench.config.synthesis
        config, device = bench.config, bench.fabric.device
        self.sampler = open_sampler(bench)
        head = bench.head if device.type == "cpu" else copy.deepcopy(bench.head)
        self.context = LossContext.from_config(config, head, device)
        self.pairs = PairedRenders(bench.head, self.stage, config) if self.stage.pairs else None
        self._validation = RenderedValidation(config, bench.head, device)
        networks = bench.networks
        for network in (networks.encoder, networks.neural_renderer):
            if network is not None:
                network.train()
        for name in self.stage.frozen_batch_norm:
            freeze_statistics(networks.parts()[name])

    @property
    def faults(self) -> tuple[DataError, ...]:
        """Faces that could not be read."""
        return self.sampler.faults

    def modules(self) -> Mapping[str, nn.Module]:
        """Return none."""
        return {}

    def initialise(self) -> None:
        """Keep the networks as they are."""

    def groups(self) -> list[ParameterGroup]:
        """Return the trainable branches of the encoder, and the neural renderer where it learns."""
        optimizer, parts = self.bench.config.optimizer, self.bench.networks.parts()
        groups = []
        branches = [name for name in ENCODERS if name in self.stage.trainable]
        if branches:
            parameters = [parameter for name in branches for parameter in parts[name].parameters()]
            groups.append(ParameterGroup("encoder", parameters, optimizer.lr * optimizer.encoder_lr_scale))
        if "neural_renderer" in self.stage.trainable:
            lr = optimizer.neural_renderer_lr
            if lr is None:
                lr = TRAINED_RENDERER_LR if self.bench.record.get(RENDERER_TRAINED) else optimizer.lr
            parameters = list(parts["neural_renderer"].parameters())
            groups.append(ParameterGroup("neural_renderer", parameters, lr, optimizer.neural_renderer_betas))
        return groups

    def rate_factor(self, step: int) -> float:
        """Return the factor of `learning_rate_factor`."""
        return learning_rate_factor(self.bench.config, step)

    def batches(self, start: int, stop: int) -> Iterator[TrainingBatch]:
        """Yield photos and rendered faces."""
        return self.sampler.batches(start, stop, self.bench.fabric.global_rank, self.bench.fabric.world_size)

    def updates(self, batch: Any, step: int) -> Iterator[Update]:
        """Yield the losses of the reconstruction path and, in the stage core, of the cycle path."""
        networks, config = self.bench.networks, self.bench.config
        batch = batch.to(self.bench.fabric.device)
        generator = step_generator(config.seed, step, self.bench.fabric.global_rank)
        first = reconstruction_step(networks, self.context, batch, generator)
        if self.pairs is not None:
            first = self._with_pairs(first, step)
        yield Update("reconstruction", first.terms, first.weights, first.images)
        updated = cycle_update_target(self.stage, step)
        if updated is not None:
            second = cycle_step(networks, self.context, batch, first, updated, generator)
            images = {f"cycle {name}": image for name, image in second.images.items()}
            clip = Clip(("neural_renderer",), config.optimizer.clip_norm)
            yield Update(f"cycle_{updated}", second.terms, second.weights, images, clip)

    def validate(self) -> dict[str, float]:
        """Measure the encoder and, where the stage has one, the neural renderer on rendered people."""
        encoder: Encoder = self.bench.networks.encoder  # type: ignore[assignment]
        if not predicts_arkit(encoder.spec):
            return {}
        renderer = self.bench.networks.neural_renderer if self.stage.name == "core" else None
        measures = self._validation.encoder(encoder)
        return measures if renderer is None else measures | self._validation.renderer(encoder, renderer)

    def complete(self) -> None:
        """Note whether the neural renderer has learned."""
        if "neural_renderer" in self.stage.trainable:
            self.bench.record[RENDERER_TRAINED] = True

    def _with_pairs(self, first: StepOutput, step: int) -> StepOutput:
        """Add the losses of rendered pairs to those of the reconstruction path."""
        renderer, fabric = self.bench.networks.neural_renderer, self.bench.fabric
        assert self.pairs is not None and renderer is not None
        losses = self.pairs.losses(renderer, self.context.perceptual, step, fabric)
        values: dict[str, Tensor] = {f"paired_{name}": value for name, value in losses.items()}
        weights = {f"paired_{name}": self.stage.losses.in_use()[name] for name in losses}
        terms = LossTerms({**first.terms.values, **values})
        return replace(first, terms=terms, weights={**first.weights, **weights})
