"""What the occlusion network learns: hidden patches, and which patches something hides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from smirk3d.fer.network import ExpressionNetwork, load_expression_network
from smirk3d.fer.occlusion.network import OcclusionNetwork
from smirk3d.fer.occlusion.patches import N_PATCHES, to_pixels
from smirk3d.train.averaged_update import UpdateSettings
from smirk3d.train.occlusion_repair.config import OcclusionTrainConfig
from smirk3d.train.occlusion_repair.data import FaceWindows, batch_of, model_windows, occluded_batch, read_windows
from smirk3d.train.occlusion_repair.losses import description_loss, rebuilding_loss, semantic_loss
from smirk3d.train.occlusion_repair.masks import hidden_order
from smirk3d.train.occlusion_repair.validation import radius_of, validate, validation_images
from smirk3d.train.provenance import DATA
from smirk3d.train.schedule import step_generator
from smirk3d.train.small_network.run import Report
from smirk3d.train.small_network.task import FinalNetwork, NetworkTask, StepLosses, TrainPlan
from smirk3d.zoo.registry import find

_RADIUS_FACES = 500
"""Validation faces of each data set that set the radius."""
_BETAS = (0.9, 0.95)
"""Of AdamW, as for masked autoencoders (He et al., CVPR 2022)."""


@dataclass(frozen=True, eq=False)
class OcclusionTask(NetworkTask[OcclusionNetwork]):
    """The occlusion network and its faces.

    Attributes:
        config: The run.
        faces: Faces to learn from.
        val: Those that are measured, and that set the radius.
        recognizer: The frozen expression network.
        network: See `NetworkTask`.
        plan: See `NetworkTask`.
        record: See `NetworkTask`.
    """

    config: OcclusionTrainConfig
    faces: FaceWindows
    val: FaceWindows
    recognizer: ExpressionNetwork
    network: OcclusionNetwork
    plan: TrainPlan
    record: dict[str, Any]

    def losses(self, step: int, average: OcclusionNetwork) -> StepLosses:
        """See `NetworkTask`."""
        config, generator = self.config, step_generator(self.config.seed, step, 0)
        count = config.batch_size + config.occluded
        images = batch_of(self.faces, count, config.data.photo_share, config.augment, generator)
        terms = self._rebuilding_losses(images[: config.batch_size], step, generator)
        batch = occluded_batch(images[config.batch_size :], generator)
        distances = self.network.detect(batch.images)
        terms["description"] = config.description_weight * description_loss(distances, batch.shares)
        return StepLosses(terms, count)

    def _rebuilding_losses(self, images: Tensor, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Hide patches of images (B, 1, 96, 96), and return the losses of what is rebuilt from the others."""
        config, network = self.config, self.network
        low, high = config.hidden_share
        share = low + (high - low) * float(torch.rand((), generator=generator))
        order = hidden_order(len(images), config.block_share, generator)
        visible = order[:, round(share * N_PATCHES) :]
        hidden = torch.ones(len(images), N_PATCHES, dtype=torch.bool).scatter(1, visible, False)
        windows, area = network.tokenize(images, hidden), to_pixels(hidden)
        index = visible[..., None].expand(-1, -1, windows.tokens.shape[2])
        _, latents = network.encode(windows.tokens.gather(1, index))
        all_latents = torch.zeros_like(windows.tokens).scatter(1, index, latents)
        rebuilt = network.fill(all_latents, hidden, windows.base)
        losses = {"rebuilding": rebuilding_loss(rebuilt, windows.normalized, area, config.visible_weight)}
        if config.semantic_weight and step >= config.semantic_from * config.steps:
            chosen = slice(0, config.semantic_faces)
            mixed = torch.where(area > 0, rebuilt * windows.scale + windows.mean, images)[chosen].clamp(0, 1)
            losses["semantic"] = config.semantic_weight * semantic_loss(self.recognizer, mixed, images[chosen])
        return losses

    def validate(self, average: OcclusionNetwork) -> dict[str, float]:
        """See `NetworkTask`."""
        return validate(average, validation_images(self.val), self.config.seed)

    def finish(self, average: OcclusionNetwork, measures: Mapping[str, float]) -> FinalNetwork:
        """Set the radius by clean validation faces; see `NetworkTask`."""
        radius = radius_of(average, validation_images(self.val, _RADIUS_FACES), self.config.clean_share)
        average.radius.fill_(radius)
        return FinalNetwork(average, {**measures, "radius": radius})


def occlusion_task(config: OcclusionTrainConfig, is_resumed: bool, report: Report) -> OcclusionTask:
    """Return what a run learns.

    Args:
        config: The run.
        is_resumed: A checkpoint will set the weights.
        report: Receives one-line messages.

    Raises:
        Smirk3dError: Data cannot be read.
    """
    faces, val = read_windows(config.data, "train"), read_windows(config.data, "val")
    report(f"{len(faces)} faces to learn from, {len(val)} for validation")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = OcclusionNetwork()
    if not is_resumed:
        network.linear.learn(model_windows(faces))
    recognizer = load_expression_network(find("expression"))
    update = UpdateSettings(config.lr, config.weight_decay, config.ema, betas=_BETAS)
    plan = TrainPlan(config.steps, config.validate_every, update)
    record = {DATA: {"train": faces.fingerprint, "val": val.fingerprint}}
    return OcclusionTask(config, faces, val, recognizer, network, plan, record)
