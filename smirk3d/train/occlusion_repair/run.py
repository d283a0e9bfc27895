"""The training run of the occlusion network, from its configuration to weights with a radius."""

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
from smirk3d.fer.network import ExpressionNetwork, load_expression_network
from smirk3d.fer.occlusion.network import OcclusionNetwork
from smirk3d.fer.occlusion.patches import N_PATCHES, to_pixels
from smirk3d.networks.half_file import save_half
from smirk3d.train.averaged_update import UpdateSettings, averaged_update, decay_groups
from smirk3d.train.checkpoint import TrainingState, checkpoint_path, keep_last, resume_training, save_training
from smirk3d.train.config_file import to_yaml
from smirk3d.train.metrics import MetricsLog
from smirk3d.train.occlusion_repair.config import OcclusionTrainConfig
from smirk3d.train.occlusion_repair.data import FaceWindows, batch_of, model_windows, occluded_batch, read_windows
from smirk3d.train.occlusion_repair.losses import description_loss, rebuilding_loss, semantic_loss
from smirk3d.train.occlusion_repair.masks import hidden_order
from smirk3d.train.occlusion_repair.validation import radius_of, validate, validation_images
from smirk3d.train.progress_line import ProgressLine
from smirk3d.train.provenance import DATA, MEASURES, provenance
from smirk3d.train.run_folder import CONFIG_NAME, claimed_folder, find_start
from smirk3d.train.schedule import step_generator
from smirk3d.train.signals import StopRequest, stop_on_signals
from smirk3d.zoo.registry import find

WEIGHTS_NAME = "occlusion.safetensors"
_RADIUS_FACES = 500
"""Validation faces of each data set that set the radius."""
_NO_HEAD = "none"
Report = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class OcclusionRun:
    """A run in memory.

    Attributes:
        config: Its configuration.
        faces: Faces to learn from.
        val: Those that are measured, and that set the radius.
        network: What learns.
        ema: Exponential moving average of its weights.
        optimizer: AdamW.
        judge: The frozen expression network.
        record: Plain facts for the header of the file; part of checkpoints.
    """

    config: OcclusionTrainConfig
    faces: FaceWindows
    val: FaceWindows
    network: OcclusionNetwork
    ema: OcclusionNetwork
    optimizer: torch.optim.AdamW
    judge: ExpressionNetwork
    record: dict[str, Any] = field(default_factory=dict)

    def state(self, step: int) -> TrainingState:
        """Return what a checkpoint after `step` steps holds."""
        modules = {"network": self.network, "ema": self.ema}
        optimizers, config = {"adam": self.optimizer}, self.config
        return TrainingState(step, modules, optimizers, {}, {}, config, _NO_HEAD, self.record)  # type: ignore[arg-type]


@dataclass(frozen=True)
class OcclusionResult:
    """How a run ended.

    Attributes:
        step: Steps done.
        is_interrupted: A signal ended the run before its last step.
        measures: Those of the weights; empty where it was interrupted.
    """

    step: int
    is_interrupted: bool
    measures: Mapping[str, float] = field(default_factory=dict)


def train_occlusion_network(config: OcclusionTrainConfig, *, resume: bool = False, report: Report) -> OcclusionResult:
    """Train the occlusion network; all results are in `config.out_dir`.

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
        run = _prepare(config, report, is_resumed=checkpoint is not None)
        done = 0 if checkpoint is None else resume_training(checkpoint, run.state(0))
        with atomic_path(config.out_dir / CONFIG_NAME) as temporary:
            temporary.write_text(to_yaml(config), encoding="utf-8")
        with stop_on_signals(report) as request, MetricsLog(config.out_dir, done) as log:
            done = _run_steps(run, done, request, log, report)
        if done < config.steps:
            return OcclusionResult(done, True)
        return OcclusionResult(done, False, _finish(run))


def _prepare(config: OcclusionTrainConfig, report: Report, is_resumed: bool) -> OcclusionRun:
    faces, val = read_windows(config.data, "train"), read_windows(config.data, "val")
    report(f"{len(faces)} faces to learn from, {len(val)} for validation")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = OcclusionNetwork()
    if not is_resumed:  # of a resumed run the checkpoint has it
        network.linear.learn(model_windows(faces))
    ema = copy.deepcopy(network).eval().requires_grad_(False)
    optimizer = torch.optim.AdamW(decay_groups(network, config.weight_decay), lr=config.lr, betas=(0.9, 0.95))
    record = {DATA: {"train": faces.fingerprint, "val": val.fingerprint}}
    judge = load_expression_network(find("expression"))
    return OcclusionRun(config, faces, val, network, ema, optimizer, judge, record)


def _run_steps(run: OcclusionRun, start: int, request: StopRequest, log: MetricsLog, report: Report) -> int:
    """Run the steps from `start` on; returns the steps that are done."""
    config, val = run.config, validation_images(run.val)
    progress = ProgressLine(start, config.steps, report)
    for step in range(start, config.steps):
        began_s = time.perf_counter()
        losses = _step(run, step)
        rate = (config.batch_size + config.occluded) / (time.perf_counter() - began_s)
        done = step + 1
        is_last = done == config.steps
        measures = {}
        if is_last or done % config.validate_every == 0:
            measures = validate(run.ema, val, config.seed)
            run.record[MEASURES] = measures
            report(f"step {done}: " + ", ".join(f"{name} {value:.4g}" for name, value in measures.items()))
        log.write(step, losses | {"faces_per_s": rate} | {f"val/{name}": value for name, value in measures.items()})
        if is_last or request.is_made or done % config.engine.save_every == 0:
            save_training(checkpoint_path(config.out_dir, done), run.state(done))
            keep_last(config.out_dir, config.engine.keep_last, every=config.engine.save_every, newest=done)
        progress.update(done, sum(losses.values()), rate)
        if request.is_made:
            return done
    return config.steps


def _step(run: OcclusionRun, step: int) -> dict[str, float]:
    """Take one optimiser step; returns the losses, weighted."""
    config, generator = run.config, step_generator(run.config.seed, step, 0)
    count = config.batch_size + config.occluded
    images = batch_of(run.faces, count, config.data.photo_share, config.augment, generator)
    losses = _rebuilding_losses(run, images[: config.batch_size], step, generator)
    batch = occluded_batch(images[config.batch_size :], generator)
    distances = run.network.detect(batch.images)
    losses["description"] = config.description_weight * description_loss(distances, batch.shares)
    settings = UpdateSettings(config.lr, config.steps, config.ema)
    averaged_update(run.network, run.ema, run.optimizer, torch.stack(list(losses.values())).sum(), step, settings)
    return {name: float(each.detach()) for name, each in losses.items()}


def _rebuilding_losses(run: OcclusionRun, images: Tensor, step: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Hide patches of images (B, 1, 96, 96), and return the losses of what is rebuilt from the others."""
    config, network = run.config, run.network
    low, high = config.hidden_share
    share = low + (high - low) * float(torch.rand((), generator=generator))
    order = hidden_order(len(images), config.block_share, generator)
    visible = order[:, round(share * N_PATCHES) :]
    hidden = torch.ones(len(images), N_PATCHES, dtype=torch.bool).scatter(1, visible, False)
    view, area = network.look(images, hidden), to_pixels(hidden)
    index = visible[..., None].expand(-1, -1, view.tokens.shape[2])
    _, latents = network.encode(view.tokens.gather(1, index))
    all_latents = torch.zeros_like(view.tokens).scatter(1, index, latents)
    rebuilt = network.fill(all_latents, hidden, view.base)
    losses = {"rebuilding": rebuilding_loss(rebuilt, view.normalized, area, config.visible_weight)}
    if config.semantic_weight and step >= config.semantic_from * config.steps:
        chosen = slice(0, config.semantic_faces)
        mixed = torch.where(area > 0, rebuilt * view.scale + view.mean, images)[chosen].clamp(0, 1)
        losses["semantic"] = config.semantic_weight * semantic_loss(run.judge, mixed, images[chosen])
    return losses


def _finish(run: OcclusionRun) -> dict[str, float]:
    """Set the radius by clean validation faces, and write the averaged weights with their provenance."""
    config = run.config
    radius = radius_of(run.ema, validation_images(run.val, _RADIUS_FACES), config.clean_share)
    run.ema.radius.fill_(radius)
    measures = {**run.record[MEASURES], "radius": radius}
    run.record[MEASURES] = measures
    about = {"step": str(config.steps), **provenance(config, run.record)}  # type: ignore[arg-type]
    save_half(run.ema, weights_path(config), about)
    return measures


def weights_path(config: OcclusionTrainConfig) -> Path:
    """Return the path of the weights that a run writes."""
    return config.out_dir / WEIGHTS_NAME
