"""The loop of a run: steps, validations, checkpoints, and the exported file with its header."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic

import torch

from smirk3d.assets import atomic_path
from smirk3d.networks.half_file import load_half, save_half
from smirk3d.train.averaged_update import averaged_update, make_optimizer
from smirk3d.train.checkpoint import TrainingState, resume_training, save_training
from smirk3d.train.checkpoint_folder import checkpoint_path, keep_last
from smirk3d.train.config_file import to_yaml
from smirk3d.train.metrics import MetricsLog
from smirk3d.train.progress_line import ProgressLine
from smirk3d.train.provenance import DATA, MEASURES, provenance
from smirk3d.train.run_config import RunConfig, SeededConfig
from smirk3d.train.run_folder import CONFIG_NAME, claimed_folder, find_start
from smirk3d.train.signals import StopRequest, stop_on_signals
from smirk3d.train.small_network.config import NetworkTrainConfig
from smirk3d.train.small_network.task import Network, NetworkTask, StepLosses

BEST_NAME = "best.safetensors"
_KEPT = "kept"
"""Entry of the record: step, measures and score of the validation whose weights are kept."""
_NO_HEAD = "none"
Report = Callable[[str], None]


@dataclass(frozen=True)
class TrainResult:
    """How a run ended.

    Attributes:
        step: Steps done.
        steps: Steps of the whole run.
        weights: The exported file; written after the last step.
        measures: Those of the exported weights; empty where a signal ended the run before.
    """

    step: int
    steps: int
    weights: Path
    measures: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_interrupted(self) -> bool:
        """Whether a signal ended the run before its last step."""
        return self.step < self.steps


@dataclass(frozen=True, eq=False)
class NetworkRun(Generic[Network]):
    """A run in memory.

    Attributes:
        task: What the network learns.
        average: Exponential moving average of its weights.
        optimizer: AdamW.
    """

    task: NetworkTask[Network]
    average: Network
    optimizer: torch.optim.AdamW

    @classmethod
    def start(cls, task: NetworkTask[Network]) -> NetworkRun[Network]:
        """Return the run of a task before its first step."""
        average = copy.deepcopy(task.network).eval().requires_grad_(False)
        return cls(task, average, make_optimizer(task.network, task.plan.update))

    def take_step(self, step: int) -> StepLosses:
        """Take an optimiser step.

        Raises:
            Smirk3dError: The loss is not finite.
        """
        task = self.task
        losses = task.losses(step, self.average)
        loss = torch.stack(list(losses.terms.values())).sum()
        progress = (step, task.plan.steps)
        averaged_update(task.network, self.average, self.optimizer, loss, progress, task.plan.update)
        task.after_step(step, self.average)
        return losses

    def state(self, step: int, config: RunConfig) -> TrainingState:
        """Return what a checkpoint after `step` steps holds."""
        modules = {"network": self.task.network, "ema": self.average, **self.task.stateful_parts()}
        return TrainingState(step, modules, {"adam": self.optimizer}, {}, {}, config, _NO_HEAD, self.task.record)


def train_network(
    config: NetworkTrainConfig,
    prepare: Callable[[bool], NetworkTask[Any] | TrainResult],
    weights: Path,
    *,
    resume: bool,
    report: Report,
) -> TrainResult:
    """Train a small network; all results are in `config.out_dir`.

    Args:
        config: The run.
        prepare: Returns what the network learns, or how a run within the preparation ended that a signal interrupted.
            Its argument is whether a checkpoint will set the weights.
        weights: The exported file.
        resume: Continue from the newest checkpoint, bit for bit as an uninterrupted run on the same device.
        report: Receives one-line messages.

    Raises:
        UsageError: The folder is not empty, or holds no run to be resumed.
        Smirk3dError: Data or a checkpoint cannot be used, or the loss is not finite.
    """
    with claimed_folder(config.out_dir):
        checkpoint = find_start(config.out_dir, resume, report)
        torch.set_num_threads(config.engine.threads)
        task = prepare(checkpoint is not None)
        if isinstance(task, TrainResult):
            return task
        run = NetworkRun.start(task)
        done = 0 if checkpoint is None else resume_training(checkpoint, run.state(0, config))
        write_config(config)
        loop = _Loop(run, config, report)
        with stop_on_signals(report) as request, MetricsLog(config.out_dir, done) as log:
            done = loop.run(done, request, log)
        measures = loop.export(weights) if done == task.plan.steps else {}
        return TrainResult(done, task.plan.steps, weights, measures)


def write_config(config: SeededConfig) -> None:
    """Write the complete configuration into the folder of a run, by which it is known when it is resumed."""
    config.out_dir.mkdir(parents=True, exist_ok=True)
    with atomic_path(config.out_dir / CONFIG_NAME) as temporary:
        temporary.write_text(to_yaml(config), encoding="utf-8")


class _Loop:
    """The steps of a run with their validations, checkpoints and metrics.

    Args:
        run: The run.
        config: Its configuration.
        report: Receives one-line messages.
    """

    def __init__(self, run: NetworkRun[Any], config: NetworkTrainConfig, report: Report) -> None:
        self._run, self._config, self._report = run, config, report
        self._task = run.task

    def run(self, start: int, request: StopRequest, log: MetricsLog) -> int:
        """Run the steps from `start` on; returns the steps that are done."""
        plan = self._task.plan
        progress = ProgressLine(start, plan.steps, self._report)
        for step in range(start, plan.steps):
            began_s = time.perf_counter()
            losses = self._run.take_step(step)
            terms = {name: float(term.detach()) for name, term in losses.terms.items()}
            rate = losses.n_samples / (time.perf_counter() - began_s)
            done = step + 1
            is_last = done == plan.steps
            measures = self._validate(done) if is_last or done % plan.validate_every == 0 else {}
            validation = {f"val/{name}": value for name, value in measures.items()}
            log.write(step, {**terms, **losses.figures, "faces_per_s": rate, **validation})
            if is_last or request.is_made or done % self._config.engine.save_every == 0:
                self._save(done)
            progress.update(done, sum(terms.values()), rate)
            if request.is_made:
                return done
        return plan.steps

    def _validate(self, done: int) -> dict[str, float]:
        """Validate the averaged weights, and keep them where they are the best so far or the last ones count."""
        found = self._task.validate(self._run.average)
        measures = {name: float(value) for name, value in found.items()}  # checkpoints hold plain data
        self._report(f"step {done}: " + ", ".join(f"{name} {value:.4g}" for name, value in measures.items()))
        record, score = self._task.record, self._task.score(measures)
        if score is None or _KEPT not in record or score > record[_KEPT]["score"]:
            record[_KEPT] = {"step": done, "measures": measures, "score": score}
            if score is not None:
                save_half(self._run.average, self._config.out_dir / BEST_NAME, self._header(measures))
        return measures

    def _save(self, done: int) -> None:
        folder, engine = self._config.out_dir, self._config.engine
        save_training(checkpoint_path(folder, done), self._run.state(done, self._config))
        keep_last(folder, engine.keep_last, every=engine.save_every, newest=done)

    def export(self, weights: Path) -> Mapping[str, float]:
        """Write the kept weights with their provenance; returns their measures."""
        kept, average = self._task.record[_KEPT], self._run.average
        if kept["score"] is not None:
            best = self._config.out_dir / BEST_NAME
            load_half(average, best, "the best weights of this run", "train again with another out_dir")
            self._report(f"the weights of step {kept['step']} are the best")
        final = self._task.finish(average, kept["measures"])
        save_half(final.network, weights, {**self._header(final.measures), **final.header})
        return final.measures

    def _header(self, measures: Mapping[str, float]) -> dict[str, str]:
        """Return the header of a file with the kept weights."""
        facts: dict[str, Any] = {DATA: self._task.record.get(DATA), MEASURES: dict(measures)}
        return {"step": str(self._task.record[_KEPT]["step"]), **provenance(self._config, facts)}
