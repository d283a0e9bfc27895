"""The training run of the face autoencoder, from its configuration to the weights."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from smirk3d.assets import atomic_path, sha256
from smirk3d.authoring.load import load_head
from smirk3d.fer.vae.network import FaceVAE
from smirk3d.networks.half_file import save_half
from smirk3d.train.averaged_update import UpdateSettings, averaged_update, decay_groups
from smirk3d.train.checkpoint import TrainingState, checkpoint_path, keep_last, resume_training, save_training
from smirk3d.train.config_file import to_yaml
from smirk3d.train.metrics import MetricsLog
from smirk3d.train.progress_line import ProgressLine
from smirk3d.train.provenance import DATA, MEASURES, provenance
from smirk3d.train.run_folder import CONFIG_NAME, claimed_folder, find_start
from smirk3d.train.schedule import step_generator
from smirk3d.train.signals import StopRequest, stop_on_signals
from smirk3d.train.vae.augmentation import augmented
from smirk3d.train.vae.completion import completed
from smirk3d.train.vae.config import VaeTrainConfig
from smirk3d.train.vae.data import ColourWindows, photo_windows, rendered_windows
from smirk3d.train.vae.features import loss_features
from smirk3d.train.vae.losses import ReconstructionLoss
from smirk3d.train.vae.validation import validate
from smirk3d.zoo.registry import find

WEIGHTS_NAME = "vae.safetensors"
_BETA, _NO_HEAD = "beta", "none"
_BETA_RANGE = (1e-6, 1.0)
_SCALE_FACES = 256
"""Faces by which the terms of the loss are scaled."""
_MAX_EXCESS = 1.0
Report = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class VaeRun:
    """A run in memory.

    Attributes:
        config: Its configuration.
        faces: Photographed faces to learn from.
        val: Those on which it is measured.
        renders: Rendered faces; None: none.
        network: What learns.
        ema: Exponential moving average of its weights.
        optimizer: AdamW.
        loss: The reconstruction loss.
        record: Plain facts for the header of the file; part of checkpoints.
    """

    config: VaeTrainConfig
    faces: ColourWindows
    val: ColourWindows
    renders: ColourWindows | None
    network: FaceVAE
    ema: FaceVAE
    optimizer: torch.optim.AdamW
    loss: ReconstructionLoss
    record: dict[str, Any] = field(default_factory=dict)

    def state(self, step: int) -> TrainingState:
        """Return what a checkpoint after `step` steps holds."""
        modules = {"network": self.network, "ema": self.ema}
        optimizers, config = {"adam": self.optimizer}, self.config
        return TrainingState(step, modules, optimizers, {}, {}, config, _NO_HEAD, self.record)  # type: ignore[arg-type]


@dataclass(frozen=True)
class VaeResult:
    """How a run ended.

    Attributes:
        step: Steps done.
        is_interrupted: A signal ended the run before its last step.
        measures: See `smirk3d.train.vae.validation`; empty where it was interrupted.
    """

    step: int
    is_interrupted: bool
    measures: Mapping[str, float] = field(default_factory=dict)


def train_vae(config: VaeTrainConfig, *, resume: bool = False, report: Report) -> VaeResult:
    """Train the face autoencoder; all results are in `config.out_dir`.

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
        run = _prepare(config, report)
        done = 0 if checkpoint is None else resume_training(checkpoint, run.state(0))
        with atomic_path(config.out_dir / CONFIG_NAME) as temporary:
            temporary.write_text(to_yaml(config), encoding="utf-8")
        with stop_on_signals(report) as request, MetricsLog(config.out_dir, done) as log:
            done = _run_steps(run, done, request, log, report)
        if done < config.steps:
            return VaeResult(done, True)
        return VaeResult(done, False, _finish(run))


def weights_path(config: VaeTrainConfig) -> Path:
    """Return the path of the weights that a run writes."""
    return config.out_dir / WEIGHTS_NAME


def _prepare(config: VaeTrainConfig, report: Report) -> VaeRun:
    features = loss_features(config)  # first, because a file may be missing
    faces, val = photo_windows(config.data, "train"), photo_windows(config.data, "val")
    report(f"{len(faces)} faces to learn from, {len(val)} for validation")
    renders = None
    if config.renders and config.data.rendered.count:
        renders = rendered_windows(config.data.rendered, load_head("open", report=report))
        report(f"{len(renders)} rendered faces")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = FaceVAE()
    network = network.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    ema = copy.deepcopy(network).eval().requires_grad_(False)
    optimizer = torch.optim.AdamW(decay_groups(network, config.weight_decay), lr=config.lr)
    sample = augmented(_scale_sample(faces, renders, config), config.augment, step_generator(config.seed, 0, 2))
    loss = ReconstructionLoss(config.objective, features, sample)
    parts = {"train": faces, "val": val} | ({} if renders is None else {"rendered": renders})
    record = {DATA: {name: each.fingerprint for name, each in parts.items()}, _BETA: config.objective.beta_start}
    return VaeRun(config, faces, val, renders, network, ema, optimizer, loss, record)


def _scale_sample(faces: ColourWindows, renders: ColourWindows | None, config: VaeTrainConfig) -> Tensor:
    """Return windows (B, 3, 64, 64) uint8 of photos and renders in the shares of a batch."""
    share = config.renders / (config.batch_size + config.renders) if renders is not None else 0.0
    n_renders = round(share * _SCALE_FACES)
    pixels = faces.pixels[: _SCALE_FACES - n_renders]
    return pixels if renders is None else torch.cat([pixels, renders.pixels[:n_renders]])


def _run_steps(run: VaeRun, start: int, request: StopRequest, log: MetricsLog, report: Report) -> int:
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
            measures = validate(run.ema, run.val)
            report(f"step {done}: " + ", ".join(f"{name} {value:.4g}" for name, value in measures.items()))
        log.write(step, losses | {"faces_per_s": rate} | {f"val/{name}": value for name, value in measures.items()})
        if is_last or request.is_made or done % config.engine.save_every == 0:
            save_training(checkpoint_path(config.out_dir, done), run.state(done))
            keep_last(config.out_dir, config.engine.keep_last, every=config.engine.save_every, newest=done)
        progress.update(done, losses["total"], rate)
        if request.is_made:
            return done
    return config.steps


def _step(run: VaeRun, step: int) -> dict[str, float]:
    """Take one optimiser step; returns the weighted losses, the rate in nats and beta."""
    config = run.config
    generator = step_generator(config.seed, step, 0)
    pixels = run.faces.pixels[_batch_rows(len(run.faces), config.batch_size, step, config.seed)]
    if run.renders is not None:
        rows = torch.randint(len(run.renders), (config.renders,), generator=generator)
        pixels = torch.cat([pixels, run.renders.pixels[rows]])
    images = augmented(pixels, config.augment, generator).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16, enabled=config.bfloat16):
        posterior = run.network.encode(images)
        reconstructions = run.network.decode(posterior.sample(generator))
        terms = run.loss(images, reconstructions)
    rate = posterior.kl().sum(1).mean()
    terms["kl"] = run.record[_BETA] * rate
    settings = UpdateSettings(config.lr, config.steps, config.ema)
    averaged_update(run.network, run.ema, run.optimizer, sum(terms.values(), torch.zeros(())), step, settings)
    rate_nats = float(rate.detach())
    run.record[_BETA] = next_beta(run.record[_BETA], rate_nats, config)
    figures = {name: float(each.detach()) for name, each in terms.items()}
    figures["total"] = sum(figures.values())
    return figures | {"rate_nats": rate_nats, _BETA: run.record[_BETA]}


def next_beta(beta: float, rate_nats: float, config: VaeTrainConfig) -> float:
    """Return the weight of the divergence of the next step: larger where the rate is above the wanted one."""
    excess = min(rate_nats / config.objective.rate_nats - 1, _MAX_EXCESS)
    low, high = _BETA_RANGE
    return min(max(beta * math.exp(config.objective.beta_gain * excess), low), high)


def _batch_rows(count: int, batch: int, step: int, seed: int) -> Tensor:
    """Return the faces of a step: successive parts of a new permutation for each pass."""
    per_pass = max(1, count // batch)
    permutation = torch.randperm(count, generator=step_generator(seed, step // per_pass, 1))
    start = step % per_pass * batch
    return permutation[start : start + batch]


def _finish(run: VaeRun) -> dict[str, float]:
    """Complete the averaged weights and write them with their provenance."""
    network = completed(run.ema, run.faces)
    measures = validate(network, run.val)
    run.record[MEASURES] = measures
    about = {"step": str(run.config.steps), **provenance(run.config, run.record)}  # type: ignore[arg-type]
    if run.config.loss == "features":
        about["features"] = sha256(run.config.objective.vgg19 or find("expression"))
    save_half(network, weights_path(run.config), about)
    return measures
