"""The training run of the expression network, from its configuration to the calibrated weights."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from smirk3d.assets import atomic_path
from smirk3d.authoring.load import load_head
from smirk3d.fer.network import BACKBONE, ExpressionNetwork, load_expression_network
from smirk3d.networks.half_file import save_half
from smirk3d.networks.imagenet import pretrained_backbone
from smirk3d.train.averaged_update import UpdateSettings, averaged_update, decay_groups
from smirk3d.train.checkpoint import TrainingState, checkpoint_path, keep_last, resume_training, save_training
from smirk3d.train.config_file import to_yaml
from smirk3d.train.expression_vector.augmentation import augmented
from smirk3d.train.expression_vector.config import FerTrainConfig
from smirk3d.train.expression_vector.data import Windows, labelled_windows, rendered_windows
from smirk3d.train.expression_vector.distillation import distilled, joined, unlabelled_windows
from smirk3d.train.expression_vector.losses import arkit_loss, class_weights, vote_loss
from smirk3d.train.expression_vector.triplets import triplet_loss
from smirk3d.train.expression_vector.validation import calibrate, validate
from smirk3d.train.metrics import MetricsLog
from smirk3d.train.progress_line import ProgressLine
from smirk3d.train.provenance import DATA, MEASURES, provenance
from smirk3d.train.run_folder import CONFIG_NAME, claimed_folder, find_start
from smirk3d.train.schedule import step_generator
from smirk3d.train.signals import StopRequest, stop_on_signals

WEIGHTS_NAME = "expression.safetensors"
BEST_NAME = "best.safetensors"
TEACHER_FOLDER = "teacher"
"""Folder of the teacher's run within that of the student's."""
_BEST = "best"
_NO_HEAD = "none"
Report = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class FerRun:
    """A run in memory.

    Attributes:
        config: Its configuration.
        faces: Photographed faces to learn from.
        weights: (8,) of the emotions.
        val: Those by which weights are compared.
        renders: Rendered faces; None: none.
        network: What learns.
        ema: Exponential moving average of its weights.
        optimizer: AdamW.
        record: Plain facts for the header of the file; part of checkpoints.
    """

    config: FerTrainConfig
    faces: Windows
    weights: Tensor
    val: Windows
    renders: Windows | None
    network: ExpressionNetwork
    ema: ExpressionNetwork
    optimizer: torch.optim.AdamW
    record: dict[str, Any] = field(default_factory=dict)

    def state(self, step: int) -> TrainingState:
        """Return what a checkpoint after `step` steps holds."""
        modules = {"network": self.network, "ema": self.ema}
        optimizers, config = {"adam": self.optimizer}, self.config
        return TrainingState(step, modules, optimizers, {}, {}, config, _NO_HEAD, self.record)  # type: ignore[arg-type]


@dataclass(frozen=True)
class FerResult:
    """How a run ended.

    Attributes:
        step: Steps done.
        is_interrupted: A signal ended the run before its last step.
        measures: WAR, UAR, ECE and so on of the weights that were kept; empty where it was interrupted.
    """

    step: int
    is_interrupted: bool
    measures: Mapping[str, float] = field(default_factory=dict)


def train_expression_network(config: FerTrainConfig, *, resume: bool = False, report: Report) -> FerResult:
    """Train the expression network; all results are in `config.out_dir`.

    Args:
        config: The run.
        resume: Continue from the newest checkpoint, bit for bit as an uninterrupted run.
        report: Receives one-line messages.

    Raises:
        UsageError: The folder is not empty, or holds no run to be resumed.
        Smirk3dError: Data or a checkpoint cannot be used, or the loss is not finite.
    """
    with claimed_folder(config.out_dir):
        checkpoint = find_start(config.out_dir, resume, report)
        torch.set_num_threads(config.engine.threads)
        with atomic_path(config.out_dir / CONFIG_NAME) as temporary:
            temporary.write_text(to_yaml(config), encoding="utf-8")  # type: ignore[arg-type]
        teacher = None
        if config.teacher_steps:
            before = _train_teacher(config, resume, report)
            if before.is_interrupted:
                return FerResult(0, True)
            teacher = load_expression_network(weights_path(_teacher_config(config)))
        run = _prepare(config, teacher, report, has_weights=checkpoint is not None)
        done = 0 if checkpoint is None else resume_training(checkpoint, run.state(0))
        with stop_on_signals(report) as request, MetricsLog(config.out_dir, done) as log:
            done = _run_steps(run, done, request, log, report)
        if done < config.steps:
            return FerResult(done, True)
        return FerResult(done, False, _finish(run, report))


def _teacher_config(config: FerTrainConfig) -> FerTrainConfig:
    """Return the run of the teacher: on the labelled faces alone, without triplets and at one size."""
    return replace(
        config,
        data=replace(config.data, unlabelled=None),
        out_dir=config.out_dir / TEACHER_FOLDER,
        steps=config.teacher_steps,
        teacher_steps=0,
        triplet_weight=0.0,
        fine_share=0.0,
    )


def _train_teacher(config: FerTrainConfig, resume: bool, report: Report) -> FerResult:
    """Train the teacher, or continue its training, unless its weights are there."""
    teacher = _teacher_config(config)
    if weights_path(teacher).is_file():
        return FerResult(teacher.steps, False)
    report("the teacher first")
    return train_expression_network(teacher, resume=resume and teacher.out_dir.is_dir(), report=report)


def _prepare(config: FerTrainConfig, teacher: ExpressionNetwork | None, report: Report, has_weights: bool) -> FerRun:
    faces, val = labelled_windows(config.data, "train"), labelled_windows(config.data, "val")
    weights = class_weights(faces.targets, config.balance)
    report(f"{len(faces)} faces to learn from, {len(val)} for validation")
    if teacher is not None:
        faces = distilled(teacher, faces, config.teacher_share)
        if config.data.unlabelled is not None:
            faces = joined(faces, unlabelled_windows(teacher, config.data.unlabelled))
            report(f"{len(faces)} with those without labels")
    renders = None
    if config.renders and config.data.rendered.count:
        renders = rendered_windows(config.data.rendered, load_head("open", report=report))
        report(f"{len(renders)} rendered faces")
    network = _initial_network(config, is_resumed=has_weights)
    ema = copy.deepcopy(network).eval().requires_grad_(False)
    optimizer = torch.optim.AdamW(decay_groups(network, config.weight_decay), lr=config.lr)
    parts = {"train": faces, "val": val} | ({} if renders is None else {"rendered": renders})
    record = {DATA: {name: each.fingerprint for name, each in parts.items()}}
    return FerRun(config, faces, weights, val, renders, network, ema, optimizer, record)


def _initial_network(config: FerTrainConfig, is_resumed: bool) -> ExpressionNetwork:
    """Return the network from which a run starts, in training mode; of a resumed run a checkpoint sets the weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = ExpressionNetwork()
    if config.init is not None:
        network.load_state_dict(load_expression_network(config.init).state_dict())
        network.temperature.fill_(1.0)
    elif config.backbone_init == "imagenet" and not is_resumed:
        weights = pretrained_backbone(BACKBONE)
        network.trunk.load_state_dict({name: weights[name] for name in network.trunk.state_dict()})
    return network.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]


def _run_steps(run: FerRun, start: int, request: StopRequest, log: MetricsLog, report: Report) -> int:
    """Run the steps from `start` on; returns the steps that are done."""
    config = run.config
    progress = ProgressLine(start, config.steps, report)
    for step in range(start, config.steps):
        began_s = time.perf_counter()
        losses = _step(run, step)
        rate = (config.batch_size + config.renders) / (time.perf_counter() - began_s)
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


def _step(run: FerRun, step: int) -> dict[str, float]:
    """Take one optimiser step; returns the losses, weighted."""
    config = run.config
    generator = step_generator(config.seed, step, 0)
    torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))  # of the dropout
    rows = _batch_rows(len(run.faces), config.batch_size, step, config.seed)
    pixels, n_faces = run.faces.pixels[rows], len(rows)
    arkit = None
    if run.renders is not None:
        rendered = torch.randint(len(run.renders), (config.renders,), generator=generator)
        pixels, arkit = torch.cat([pixels, run.renders.pixels[rendered]]), run.renders.targets[rendered]
    side_px = config.fine_px if step >= (1 - config.fine_share) * config.steps else config.input_px
    for network in (run.network, run.ema):
        network.input_px.fill_(side_px)
    images, flip = augmented(pixels, side_px, config.augment, generator)
    predicted = run.network(images.contiguous(memory_format=torch.channels_last))
    losses = {"votes": vote_loss(predicted.logits[:n_faces], run.faces.targets[rows], run.weights)}
    if config.triplet_weight:
        loss = triplet_loss(predicted.vector[:n_faces], run.faces.targets[rows], generator)
        losses["triplets"] = config.triplet_weight * loss
    if arkit is not None:
        loss = arkit_loss(predicted.arkit[n_faces:], arkit, flip[n_faces:])
        losses["arkit"] = config.arkit_weight * loss
    settings = UpdateSettings(config.lr, config.steps, config.ema)
    averaged_update(run.network, run.ema, run.optimizer, sum(losses.values(), torch.zeros(())), step, settings)
    return {name: float(each.detach()) for name, each in losses.items()}


def _batch_rows(count: int, batch: int, step: int, seed: int) -> Tensor:
    """Return the faces of a step: successive parts of a new permutation for each pass."""
    per_pass = max(1, count // batch)
    permutation = torch.randperm(count, generator=step_generator(seed, step // per_pass, 1))
    start = step % per_pass * batch
    return permutation[start : start + batch]


def _consider(run: FerRun, done: int) -> dict[str, float]:
    """Validate the averaged weights, and keep them where they are the best so far by WAR plus UAR."""
    measures = validate(run.ema, run.val)
    score = measures["war"] + measures["uar"]
    if _BEST not in run.record or score > run.record[_BEST]["score"]:
        run.record[_BEST] = {"score": score, "step": done}
        save_half(run.ema, run.config.out_dir / BEST_NAME, {"step": str(done)})
    return measures


def _finish(run: FerRun, report: Report) -> dict[str, float]:
    """Calibrate the best weights and write them with their provenance."""
    folder = run.config.out_dir
    network = load_expression_network(folder / BEST_NAME)
    measures = calibrate(network, run.val)
    run.record[MEASURES] = measures
    step = str(run.record[_BEST]["step"])
    about = {"step": step, **provenance(run.config, run.record)}  # type: ignore[arg-type]
    save_half(network, folder / WEIGHTS_NAME, about)
    report(f"the weights of step {step} are the best")
    return measures


def weights_path(config: FerTrainConfig) -> Path:
    """Return the path of the weights that a run writes."""
    return config.out_dir / WEIGHTS_NAME
