"""What the face autoencoder learns: to reconstruct windows, with a code of a given rate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from smirk3d.assets import sha256
from smirk3d.authoring.load import load_head
from smirk3d.fer.vae.network import FaceVAE
from smirk3d.train.averaged_update import UpdateSettings
from smirk3d.train.provenance import DATA
from smirk3d.train.schedule import step_generator
from smirk3d.train.small_network.batch_rows import batch_rows
from smirk3d.train.small_network.run import Report
from smirk3d.train.small_network.task import FinalNetwork, NetworkTask, StepLosses, TrainPlan
from smirk3d.train.vae.augmentation import augmented
from smirk3d.train.vae.completion import completed
from smirk3d.train.vae.config import VaeTrainConfig
from smirk3d.train.vae.data import ColourWindows, photo_windows, rendered_windows
from smirk3d.train.vae.features import loss_features
from smirk3d.train.vae.losses import ReconstructionLoss
from smirk3d.train.vae.validation import validate
from smirk3d.zoo.registry import find

_BETA = "beta"
_BETA_RANGE = (1e-6, 1.0)
_SCALE_FACES = 256
"""Faces by which the terms of the loss are scaled."""
_MAX_EXCESS = 1.0


@dataclass(frozen=True, eq=False)
class VaeTask(NetworkTask[FaceVAE]):
    """The face autoencoder and its faces.

    Attributes:
        config: The run.
        faces: Photographed faces to learn from.
        val: Those on which it is measured.
        renders: Rendered faces; None: none.
        loss: The reconstruction loss.
        network: See `NetworkTask`.
        plan: See `NetworkTask`.
        record: See `NetworkTask`; has the weight of the divergence.
    """

    config: VaeTrainConfig
    faces: ColourWindows
    val: ColourWindows
    renders: ColourWindows | None
    loss: ReconstructionLoss
    network: FaceVAE
    plan: TrainPlan
    record: dict[str, Any]

    def losses(self, step: int, average: FaceVAE) -> StepLosses:
        """Return the losses of a step, and adapt the weight of the divergence; see `NetworkTask`."""
        config, generator = self.config, step_generator(self.config.seed, step, 0)
        pixels = self.faces.pixels[batch_rows(len(self.faces), config.batch_size, step, config.seed)]
        if self.renders is not None:
            rows = torch.randint(len(self.renders), (config.renders,), generator=generator)
            pixels = torch.cat([pixels, self.renders.pixels[rows]])
        images = augmented(pixels, config.augment, generator).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=config.bfloat16):
            posterior = self.network.encode(images)
            reconstructions = self.network.decode(posterior.sample(generator))
            terms = self.loss(images, reconstructions)
        rate = posterior.kl().sum(1).mean()
        terms["kl"] = self.record[_BETA] * rate
        rate_nats = float(rate.detach())
        self.record[_BETA] = next_beta(self.record[_BETA], rate_nats, config)
        total = sum(float(each.detach()) for each in terms.values())
        return StepLosses(terms, len(pixels), {"total": total, "rate_nats": rate_nats, _BETA: self.record[_BETA]})

    def validate(self, average: FaceVAE) -> dict[str, float]:
        """See `NetworkTask`."""
        return validate(average, self.val)

    def finish(self, average: FaceVAE, measures: Mapping[str, float]) -> FinalNetwork:
        """Complete the network; see `NetworkTask`."""
        network, config = completed(average, self.faces), self.config
        is_of_features = config.loss == "features"
        header = {"features": sha256(config.objective.vgg19 or find("expression"))} if is_of_features else {}
        return FinalNetwork(network, validate(network, self.val), header)


def next_beta(beta: float, rate_nats: float, config: VaeTrainConfig) -> float:
    """Return the weight of the divergence of the next step: larger where the rate is above the wanted one."""
    excess = min(rate_nats / config.objective.rate_nats - 1, _MAX_EXCESS)
    low, high = _BETA_RANGE
    return min(max(beta * math.exp(config.objective.beta_gain * excess), low), high)


def vae_task(config: VaeTrainConfig, report: Report) -> VaeTask:
    """Return what a run learns.

    Raises:
        Smirk3dError: Data or the network of the features cannot be read.
    """
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
    sample = augmented(_scale_sample(faces, renders, config), config.augment, step_generator(config.seed, 0, 2))
    loss = ReconstructionLoss(config.objective, features, sample)
    parts = {"train": faces, "val": val} | ({} if renders is None else {"rendered": renders})
    record = {DATA: {name: each.fingerprint for name, each in parts.items()}, _BETA: config.objective.beta_start}
    plan = TrainPlan(config.steps, config.validate_every, UpdateSettings(config.lr, config.weight_decay, config.ema))
    return VaeTask(config, faces, val, renders, loss, network, plan, record)


def _scale_sample(faces: ColourWindows, renders: ColourWindows | None, config: VaeTrainConfig) -> Tensor:
    """Return windows (B, 3, 64, 64) uint8 of photos and renders in the shares of a batch."""
    share = config.renders / (config.batch_size + config.renders) if renders is not None else 0.0
    n_renders = round(share * _SCALE_FACES)
    pixels = faces.pixels[: _SCALE_FACES - n_renders]
    return pixels if renders is None else torch.cat([pixels, renders.pixels[:n_renders]])
