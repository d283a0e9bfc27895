"""The training loop: a run from its configuration to its last checkpoint, stage after stage."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from smirk3d.authoring.load import load_head
from smirk3d.errors import Smirk3dError
from smirk3d.head.model import HeadModel
from smirk3d.train.best_weights import BestWeights
from smirk3d.train.checkpoint import TrainingState, resume_training
from smirk3d.train.checkpoint_folder import checkpoint_step
from smirk3d.train.config import AnyStage, TrainConfig
from smirk3d.train.engine import any_of, average_values, launch, move_to_device
from smirk3d.train.initialization import build_networks, head_fingerprint, load_initial
from smirk3d.train.metrics import MetricsLog
from smirk3d.train.networks import Networks
from smirk3d.train.optimization import DivergedError, Optimization
from smirk3d.train.preview import save_preview
from smirk3d.train.progress_line import ProgressLine
from smirk3d.train.run_folder import (
    WEIGHTS_NAME,
    claimed_folder,
    find_start,
    make_folder,
    preview_path,
    reconcile,
    save_run,
)
from smirk3d.train.signals import StopRequest, stop_on_signals
from smirk3d.train.tasks.make import make_task
from smirk3d.train.tasks.task import Task, Update, Workbench

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Report = Callable[[str], None]


@dataclass(frozen=True)
class TrainResult:
    """How a run ended.

    Attributes:
        step: Steps done, over all stages.
        is_interrupted: A signal ended the run before its last step.
        rank: Number of this process, from 0.
    """

    step: int
    is_interrupted: bool
    rank: int


@dataclass(frozen=True, eq=False)
class Run:
    """What the stages of a run share in one of its processes.

    Attributes:
        config: Configuration of the run.
        fabric: Launched Fabric.
        head: Head model, on the CPU.
        head_hash: Its fingerprint.
        networks: The trained networks.
        report: Receives messages.
        record: See `Workbench`.
    """

    config: TrainConfig
    fabric: Fabric
    head: HeadModel
    head_hash: str
    networks: Networks
    report: Report
    record: dict[str, Any] = field(default_factory=dict)

    def stage_of(self, step: int) -> tuple[AnyStage, int]:
        """Return the stage that a step, from 0, belongs to, and the first step of that stage."""
        first = 0
        for stage in self.config.all_stages:
            if step < first + stage.steps:
                return stage, first
            first += stage.steps
        raise ValueError(f"the run has {first} steps, and no step {step}")


@dataclass(frozen=True, eq=False)
class StageRun:
    """A stage of a run.

    Attributes:
        run: The run.
        config: The run as the stage has it.
        first: Step of the run at which the stage begins.
        task: What it trains.
        optimization: Adam; None where nothing learns.
        best: The best weights so far.
    """

    run: Run
    config: TrainConfig
    first: int
    task: Task
    optimization: Optimization | None
    best: BestWeights

    @property
    def stop(self) -> int:
        """Step of the run at which the stage ends."""
        assert self.config.stage is not None
        return self.first + self.config.stage.steps

    def state(self, step: int) -> TrainingState:
        """Return what a checkpoint after `step` steps holds; learning rates and random numbers follow from the step."""
        networks = {"encoder": self.run.networks.encoder, "neural_renderer": self.run.networks.neural_renderer}
        modules = {name: network for name, network in networks.items() if network is not None}
        scaler: Any = getattr(self.run.fabric.strategy.precision, "scaler", None)  # loss scaling of 16-mixed
        return TrainingState(
            step,
            modules | dict(self.task.modules()),
            {} if self.optimization is None else {"adam": self.optimization.adam},
            {} if scaler is None else {"loss_scale": scaler},
            {},
            self.run.config,
            self.run.head_hash,
            self.run.record,
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
    run = _prepare(config, fabric, checkpoint, report if fabric.is_global_zero else _ignore)
    stage = _first_stage(run, checkpoint)
    done = stage.first if checkpoint is None else resume_training(checkpoint, stage.state(0))
    if fabric.is_global_zero:
        make_folder(config)
        if checkpoint is not None:
            reconcile(stage.state(done), run.networks, stage.config, report)
    with contextlib.ExitStack() as stack:
        request = stack.enter_context(stop_on_signals(run.report))
        log = stack.enter_context(MetricsLog(config.out_dir, done)) if fabric.is_global_zero else None
        progress = ProgressLine(done, config.total_steps, run.report)
        while True:
            done, is_stopped = _run_stage(stage, done, log, request, progress)
            if is_stopped or done == config.total_steps:
                return TrainResult(done, is_stopped and done < config.total_steps, fabric.global_rank)
            stage = _open_stage(run, done)


def _prepare(config: TrainConfig, fabric: Fabric, checkpoint: Path | None, report: Report) -> Run:
    with fabric.rank_zero_first(local=True):  # the first process fills the cache
        head = load_head(config.head, report=report)
    networks = build_networks(config, head.spec)
    record: dict[str, Any] = {}
    if checkpoint is None:
        record |= load_initial(networks, config, report)
    move_to_device(networks, fabric)
    return Run(config, fabric, head, head_fingerprint(head), networks, report, record)


def _first_stage(run: Run, checkpoint: Path | None) -> StageRun:
    """Open the first stage, or that of a checkpoint, whose state is not restored yet."""
    if checkpoint is None:
        return _open_stage(run, 0)
    last = min(checkpoint_step(checkpoint), run.config.total_steps) - 1
    return _open_stage(run, max(last, 0), is_resumed=True)


def _open_stage(run: Run, step: int, *, is_resumed: bool = False) -> StageRun:
    """Prepare the stage of a step, and, unless a checkpoint holds them, the weights that it starts from."""
    settings, first = run.stage_of(step)
    config = run.config.for_stage(settings)
    if len(run.config.all_stages) > 1:
        run.report(f"stage {settings.name}: {settings.steps} steps")
    task = make_task(Workbench(config, run.config, run.fabric, run.head, run.networks, run.record))
    for fault in task.faults:
        run.report(str(fault))
    if not is_resumed:
        task.initialise()
    groups = task.groups()
    optimization = Optimization(groups, run.networks, run.fabric) if groups else None
    best = BestWeights(run.config, settings.name, task.criterion, run.networks, run.record)
    return StageRun(run, config, first, task, optimization, best)


def _run_stage(
    stage: StageRun, start: int, log: MetricsLog | None, request: StopRequest, progress: ProgressLine
) -> tuple[int, bool]:
    """Run the steps of a stage from `start` on; returns the steps of the run that are done, and whether it stops."""
    run, fabric, batch_size = stage.run, stage.run.fabric, stage.config.data.batch_size
    done = start
    if done == stage.first < stage.stop:
        _validate(stage, done, log)
    began_s = time.perf_counter()
    for batch in stage.task.batches(start - stage.first, stage.stop - stage.first):
        values, images = _step(stage, done - stage.first, batch)
        rate = batch_size / (time.perf_counter() - began_s)
        if values:
            values = average_values(values, fabric) | {"faces_per_s": rate}
        is_stopped = any_of(request.is_made, fabric)
        if log is not None:
            log.write(done, values)
        done += 1
        _complete(stage, log) if done == stage.stop else _validate(stage, done, log)
        if log is not None and images and _is_due(done, run.config.engine.preview_every, stage.stop):
            save_preview(preview_path(run.config.out_dir, done), images)
        if is_stopped or _is_due(done, run.config.engine.save_every, stage.stop):
            _save(stage, done)
        if values:
            progress.update(done, next(iter(values.values())), rate)
        if is_stopped:
            return done, True
        began_s = time.perf_counter()
    return done, False


def _save(stage: StageRun, done: int) -> None:
    """Write the state of the run; the other processes wait while the first one writes."""
    if stage.run.fabric.is_global_zero:
        save_run(stage.state(done), stage.run.networks, stage.config)
    stage.run.fabric.barrier()


def _step(stage: StageRun, step: int, batch: Any) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Take the optimiser steps of a step of the stage; returns metrics and sample images by name."""
    values, images, optimization, every = {}, {}, stage.optimization, stage.config.engine.gradients_every
    if optimization is None:
        return values, images
    optimization.start_step(stage.task.rate_factor(step))
    try:
        for update in stage.task.updates(batch, step):
            shares = optimization.loss_gradients(update) if every and step % every == 0 else {}
            norms = optimization.optimizer_step(update)
            values |= _metrics(update, norms | shares)
            images |= update.images
    except DivergedError as error:
        raise Smirk3dError(f"step {stage.first + step}: {error}; {_remedy(stage.run.config)}") from error
    return values | {f"rate/{name}": rate for name, rate in optimization.rates.items()}, images


def _metrics(update: Update, norms: Mapping[str, float]) -> dict[str, float]:
    values = {"total": float(update.loss.detach())}
    values |= {name: float(mean) for name, mean in update.terms.means().items()}
    values |= {f"gradient_{name}": norm for name, norm in norms.items()}
    return {f"{update.path}/{name}": value for name, value in values.items()}


def _validate(stage: StageRun, done: int, log: MetricsLog | None) -> None:
    """Measure the networks where it is due: every so many steps, and at start and end of the stage."""
    every = stage.config.validation.every
    if not every or not _is_due(done - stage.first, every, stage.stop - stage.first):
        return
    measures = average_values(stage.task.validate(), stage.run.fabric)
    is_start = done == stage.first
    if log is not None and measures:
        path = "start" if is_start else "validation"
        log.write(done if is_start else done - 1, {f"{path}/{name}": value for name, value in measures.items()})
        named = ", ".join(f"{name} {value:.3f}" for name, value in measures.items())
        stage.run.report(f"step {done}: {named}")
    stage.best.consider(measures, done)


def _complete(stage: StageRun, log: MetricsLog | None) -> None:
    """End a stage: its best weights, where they are kept, and what the task does after its last step."""
    if stage.optimization is None:  # nothing has learned: what the task does now is what is measured
        stage.task.complete()
        _validate(stage, stage.stop, log)
        return
    _validate(stage, stage.stop, log)
    stage.run.fabric.barrier()
    if stage.config.validation.keep_best:
        stage.best.restore(stage.run.report)
    stage.task.complete()


def _is_due(done: int, every: int, steps: int) -> bool:
    return every > 0 and (done % every == 0 or done == steps)


def _remedy(config: TrainConfig) -> str:
    weights = config.out_dir / WEIGHTS_NAME
    if not weights.is_file():
        return "lower optimizer.lr"
    return f"start anew in another out_dir with a lower optimizer.lr and init={weights}"


def _ignore(message: str) -> None:
    """Drop the messages of all processes but the first."""
