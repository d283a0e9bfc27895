"""The training loop: a run from its configuration to its last checkpoint."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from smirk3d.authoring.load import load_head
from smirk3d.datasets.sampler import BatchSampler
from smirk3d.datasets.training_batch import TrainingBatch
from smirk3d.errors import Smirk3dError
from smirk3d.train.checkpoint import TrainingState, resume_training
from smirk3d.train.config import TrainConfig
from smirk3d.train.engine import any_of, average_values, launch, move_to_device
from smirk3d.train.initialization import build_networks, head_fingerprint, load_initial
from smirk3d.train.loss_context import LossContext
from smirk3d.train.metrics import MetricsLog
from smirk3d.train.networks import Networks
from smirk3d.train.optimization import DivergedError, Optimization
from smirk3d.train.preview import save_preview
from smirk3d.train.progress_line import ProgressLine
from smirk3d.train.recipes.analysis_by_synthesis import StepOutput, cycle_step, reconstruction_step
from smirk3d.train.run_folder import (
    WEIGHTS_NAME,
    claimed_folder,
    find_start,
    make_folder,
    preview_path,
    reconcile,
    save_run,
)
from smirk3d.train.schedule import cycle_update_target, step_generator
from smirk3d.train.signals import StopRequest, stop_on_signals

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Report = Callable[[str], None]


@dataclass(frozen=True)
class TrainResult:
    """How a run ended.

    Attributes:
        step: Steps done.
        is_interrupted: A signal ended the run before its last step.
        rank: Number of this process, from 0.
    """

    step: int
    is_interrupted: bool
    rank: int


@dataclass(frozen=True, eq=False)
class Run:
    """The objects of a run in one of its processes.

    Attributes:
        config: Configuration of the run.
        fabric: Launched Fabric.
        sampler: Batches of the run.
        context: Head, masking and frozen networks of the losses.
        networks: The trained networks.
        optimization: Adam.
        head_hash: Fingerprint of the head model.
    """

    config: TrainConfig
    fabric: Fabric
    sampler: BatchSampler
    context: LossContext
    networks: Networks
    optimization: Optimization
    head_hash: str

    def state(self, step: int) -> TrainingState:
        """Return what a checkpoint after `step` steps holds; learning rates and random numbers follow from the step."""
        networks = {"encoder": self.networks.encoder, "neural_renderer": self.networks.neural_renderer}
        modules = {name: network for name, network in networks.items() if network is not None}
        scaler: Any = getattr(self.fabric.strategy.precision, "scaler", None)  # loss scaling of 16-mixed
        schedulers = {} if scaler is None else {"loss_scale": scaler}
        return TrainingState(
            step, modules, {"adam": self.optimization.adam}, schedulers, {}, self.config, self.head_hash
        )


def train(config: TrainConfig, *, resume: bool = False, report: Report | None = None) -> TrainResult:
    """Train networks by a configuration; all results are in `config.out_dir`.

    The signals SIGINT and SIGTERM end the run after the current step, with a checkpoint.

    Args:
        config: Training run.
        resume: Continue from the newest checkpoint of `config.out_dir`, bit for bit as an uninterrupted run.
        report: Receives one-line messages of the first process.

    Raises:
        UsageError: `config.out_dir` is not empty, or holds no run to be resumed.
        Smirk3dError: Another process trains into `config.out_dir`, or a file there is a symbolic link. Head, data,
            networks, devices or a checkpoint cannot be used, or a loss is not finite; the checkpoints before that stay.
    """
    with claimed_folder(config.out_dir):
        return _train(config, resume, report or _ignore)


def _train(config: TrainConfig, resume: bool, report: Report) -> TrainResult:
    checkpoint = find_start(config.out_dir, resume, report)
    fabric = launch(config.engine)
    report = report if fabric.is_global_zero else _ignore
    run = _prepare(config, fabric, checkpoint, report)
    start = 0 if checkpoint is None else resume_training(checkpoint, run.state(0))
    if fabric.is_global_zero:
        make_folder(config)
        if checkpoint is not None:
            reconcile(run.state(start), run.networks, report)
    with contextlib.ExitStack() as stack:
        request = stack.enter_context(stop_on_signals(report))
        log = stack.enter_context(MetricsLog(config.out_dir, start)) if fabric.is_global_zero else None
        return _loop(run, start, log, request, ProgressLine(start, config.stage.steps, report))


def _prepare(config: TrainConfig, fabric: Fabric, checkpoint: Path | None, report: Report) -> Run:
    with fabric.rank_zero_first(local=True):  # the first process fills the cache
        head = load_head(config.head, report=report)
    networks = build_networks(config, head.spec)
    if checkpoint is None:
        load_initial(networks, config, report)
    move_to_device(networks, fabric)
    optimization = Optimization(networks, config, fabric)
    context = LossContext.from_config(config, head, fabric.device)  # moves the head to the device
    with fabric.rank_zero_first(local=True):
        sampler = BatchSampler(config.data, config.augment, config.seed, head)
    for fault in sampler.faults:
        report(str(fault))
    return Run(config, fabric, sampler, context, networks, optimization, head_fingerprint(head))


def _loop(run: Run, start: int, log: MetricsLog | None, request: StopRequest, progress: ProgressLine) -> TrainResult:
    config, fabric = run.config, run.fabric
    steps, rank, world = config.stage.steps, fabric.global_rank, fabric.world_size
    done, is_stopped = start, False
    began_s = time.perf_counter()
    for batch in run.sampler.batches(start, steps, rank, world):
        values, images = _step(run, done, batch.to(fabric.device))
        rate = config.data.batch_size / (time.perf_counter() - began_s)
        values = average_values(values, fabric) | {"faces_per_s": rate}
        is_stopped = any_of(request.is_made, fabric)
        if log is not None:
            log.write(done, values)
        done += 1
        if log is not None and _is_due(done, config.engine.preview_every, steps):
            save_preview(preview_path(config.out_dir, done), images)
        if is_stopped or _is_due(done, config.engine.save_every, steps):
            if log is not None:
                save_run(run.state(done), run.networks)
            fabric.barrier()  # the other processes wait while the first one writes
        progress.update(done, values["reconstruction/total"], rate)
        if is_stopped:
            break
        began_s = time.perf_counter()
    return TrainResult(done, is_stopped and done < steps, rank)


def _step(run: Run, step: int, batch: TrainingBatch) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Run both paths of a step and update the networks; returns metrics and sample images by name."""
    config, networks = run.config, run.networks
    generator = step_generator(config.seed, step, run.fabric.global_rank)
    run.optimization.start_step(step)
    try:
        first = reconstruction_step(networks, run.context, batch, generator)
        norms = run.optimization.optimizer_step(first)
        values, images = _metrics("reconstruction", first, norms), dict(first.images)
        updated = cycle_update_target(config.stage, step)
        if updated is not None:
            second = cycle_step(networks, run.context, batch, first, updated, generator)
            norms = run.optimization.optimizer_step(second, config.optimizer.clip_norm)
            values |= _metrics(f"cycle_{updated}", second, norms)
            images |= {f"cycle {name}": image for name, image in second.images.items()}
    except DivergedError as error:
        raise Smirk3dError(f"step {step}: {error}; {_remedy(config)}") from error
    rates = {f"rate/{name}": rate for name, rate in run.optimization.rates.items()}
    return values | rates, images


def _metrics(path: str, output: StepOutput, norms: Mapping[str, float]) -> dict[str, float]:
    values = {"total": float(output.loss.detach())}
    values |= {name: float(mean) for name, mean in output.terms.means().items()}
    values |= {f"gradient_{name}": norm for name, norm in norms.items()}
    return {f"{path}/{name}": value for name, value in values.items()}


def _is_due(done: int, every: int, steps: int) -> bool:
    return every > 0 and (done % every == 0 or done == steps)


def _remedy(config: TrainConfig) -> str:
    weights = config.out_dir / WEIGHTS_NAME
    if not weights.is_file():
        return "lower optimizer.lr"
    return f"start anew in another out_dir with a lower optimizer.lr and init={weights}"


def _ignore(message: str) -> None:
    """Drop the messages of all processes but the first."""
