"""The training run of the transformer engine, from its configuration to the packed weights."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from smirk3d.assets import atomic_path
from smirk3d.authoring.load import load_head
from smirk3d.head.model import HeadModel
from smirk3d.networks.half_file import save_half
from smirk3d.reenactment.transformer.network import NetworkLayout
from smirk3d.reenactment.transformer.weights import TransformerNetworks
from smirk3d.train.averaged_update import UpdateSettings, averaged_update, decay_groups
from smirk3d.train.checkpoint import TrainingState, checkpoint_path, keep_last, resume_training, save_training
from smirk3d.train.config_file import to_yaml
from smirk3d.train.metrics import MetricsLog
from smirk3d.train.progress_line import ProgressLine
from smirk3d.train.provenance import DATA, MEASURES, provenance
from smirk3d.train.reenactment.config import ReenactmentTrainConfig
from smirk3d.train.reenactment.data import PeopleData, people_of
from smirk3d.train.reenactment.step import losses_of, random_task
from smirk3d.train.reenactment.validation import validate
from smirk3d.train.run_folder import CONFIG_NAME, claimed_folder, find_start
from smirk3d.train.schedule import step_generator
from smirk3d.train.signals import StopRequest, stop_on_signals

WEIGHTS_NAME = "reenactment.safetensors"
_BEST = "best"
_NO_HEAD = "none"
_LARGEST_GRADIENT = 1.0
Report = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class ReenactmentRun:
    """A run in memory.

    Attributes:
        config: Its configuration.
        people: Those to learn from, and those by whom weights are compared.
        networks: What learns.
        ema: Exponential moving average of its weights.
        optimizer: AdamW.
        record: Plain facts for the header of the file; part of checkpoints.
    """

    config: ReenactmentTrainConfig
    people: PeopleData
    networks: TransformerNetworks
    ema: TransformerNetworks
    optimizer: torch.optim.AdamW
    record: dict[str, Any] = field(default_factory=dict)

    def state(self, step: int) -> TrainingState:
        """Return what a checkpoint after `step` steps holds."""
        modules = {"networks": self.networks, "ema": self.ema}
        optimizers, config = {"adam": self.optimizer}, self.config
        return TrainingState(step, modules, optimizers, {}, {}, config, _NO_HEAD, self.record)  # type: ignore[arg-type]


@dataclass(frozen=True)
class ReenactmentResult:
    """How a run ended.

    Attributes:
        step: Steps done.
        is_interrupted: A signal ended the run before its last step.
        measures: Those of the best weights, see `validate`.
    """

    step: int
    is_interrupted: bool
    measures: Mapping[str, float] = field(default_factory=dict)


def train_transformer(config: ReenactmentTrainConfig, *, resume: bool = False, report: Report) -> ReenactmentResult:
    """Train the transformer engine; all results are in `config.out_dir`.

    Args:
        config: The run.
        resume: Continue from the newest checkpoint, bit for bit as an uninterrupted run on the same machine.
        report: Receives one-line messages.

    Raises:
        UsageError: The folder is not empty, or holds no run to be resumed.
        Smirk3dError: Data or a checkpoint cannot be used, or the loss is not finite.
    """
    with claimed_folder(config.out_dir):
        checkpoint = find_start(config.out_dir, resume, report)
        torch.set_num_threads(config.engine.threads)
        run = _prepare(config, report)
        done = 0 if checkpoint is None else resume_training(checkpoint, run.state(0))
        with atomic_path(config.out_dir / CONFIG_NAME) as temporary:
            temporary.write_text(to_yaml(config), encoding="utf-8")
        with stop_on_signals(report) as request, MetricsLog(config.out_dir, done) as log:
            done = _run_steps(run, done, request, log, report)
        best = run.record.get(_BEST, {})
        return ReenactmentResult(done, done < config.steps, best.get("measures", {}))


def _prepare(config: ReenactmentTrainConfig, report: Report) -> ReenactmentRun:
    head = load_head("open", report=report)
    people = people_of(config, head)
    report(f"{len(people.rendered)} rendered people, {0 if people.changed is None else len(people.changed)} photos")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        networks = TransformerNetworks(NetworkLayout(**vars(config.layout)), landmark_places(head))
    networks = networks.to(config.engine.device).train()
    ema = copy.deepcopy(networks).eval().requires_grad_(False)
    optimizer = torch.optim.AdamW(decay_groups(networks, config.weight_decay), lr=config.lr)
    return ReenactmentRun(config, people, networks, ema, optimizer, {DATA: people.fingerprint})


def landmark_places(head: HeadModel) -> Tensor:
    """Return where MediaPipe's landmarks are on a neutral head, (478, 3) metres."""
    return head.landmark_embedding("mediapipe").points(head.v_template, head.faces)


def _run_steps(run: ReenactmentRun, start: int, request: StopRequest, log: MetricsLog, report: Report) -> int:
    """Run the steps from `start` on; returns the steps that are done."""
    config = run.config
    progress = ProgressLine(start, config.steps, report)
    for step in range(start, config.steps):
        began_s = time.perf_counter()
        losses, count = _step(run, step)
        rate = count / (time.perf_counter() - began_s)
        done = step + 1
        is_last = done == config.steps
        measures = {}
        if is_last or done % config.validate_every == 0:
            measures = _consider(run, done)
            report(f"step {done}: " + ", ".join(f"{name} {value:.4g}" for name, value in measures.items()))
        log.write(step, losses | {"faces_per_s": rate} | {f"val/{name}": value for name, value in measures.items()})
        if is_last or request.is_made or done % config.engine.save_every == 0:
            save_training(checkpoint_path(config.out_dir, done), run.state(done))
            keep_last(config.out_dir, config.engine.keep_last, every=config.engine.save_every, newest=done)
        progress.update(done, sum(losses.values()), rate)
        if request.is_made:
            return done
    return config.steps


def _step(run: ReenactmentRun, step: int) -> tuple[dict[str, float], int]:
    """Take one optimiser step; returns the weighted losses and the number of people."""
    generator = step_generator(run.config.seed, step, 0)
    task = random_task(run.config, run.people, generator).to(run.config.engine.device)
    losses = losses_of(run.config, run.networks, task, generator)
    loss = sum(losses.values(), torch.zeros((), device=run.config.engine.device))
    settings = UpdateSettings(run.config.lr, run.config.steps, run.config.ema, _LARGEST_GRADIENT)
    averaged_update(run.networks, run.ema, run.optimizer, loss, step, settings)
    return {name: float(each.detach()) for name, each in losses.items()}, len(task.views)


def _consider(run: ReenactmentRun, done: int) -> dict[str, float]:
    """Validate the averaged weights, and write them where they are the best so far."""
    measures = validate(run.ema, run.people.validation, run.config.engine.device)
    score = measures["psnr_db"] + measures["psnr_3_db"]
    if _BEST not in run.record or score > run.record[_BEST]["score"]:
        run.record[_BEST] = {"score": score, "step": done, "measures": measures}
        record = {DATA: run.record[DATA], MEASURES: measures}
        about = {"step": str(done), **provenance(run.config, record)}  # type: ignore[arg-type]
        save_half(run.ema, weights_path(run.config), about)
    return measures


def weights_path(config: ReenactmentTrainConfig) -> Path:
    """Return the path of the weights that a run writes."""
    return config.out_dir / WEIGHTS_NAME
