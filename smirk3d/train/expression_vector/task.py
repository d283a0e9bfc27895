"""What the expression network learns: votes and triplets of photographed faces, ARKit weights of rendered ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from smirk3d.authoring.load import load_head
from smirk3d.fer.network import BACKBONE, ExpressionNetwork, load_expression_network
from smirk3d.networks.imagenet import pretrained_backbone
from smirk3d.train.averaged_update import UpdateSettings
from smirk3d.train.expression_vector.augmentation import augmented
from smirk3d.train.expression_vector.config import FerTrainConfig
from smirk3d.train.expression_vector.data import Windows, labelled_windows, rendered_windows
from smirk3d.train.expression_vector.distillation import distilled, joined, unlabelled_windows
from smirk3d.train.expression_vector.losses import arkit_loss, class_weights, vote_loss
from smirk3d.train.expression_vector.triplets import triplet_loss
from smirk3d.train.expression_vector.validation import calibrate, validate
from smirk3d.train.provenance import DATA
from smirk3d.train.schedule import step_generator
from smirk3d.train.small_network.batch_rows import batch_rows
from smirk3d.train.small_network.run import Report
from smirk3d.train.small_network.task import FinalNetwork, NetworkTask, StepLosses, TrainPlan


@dataclass(frozen=True, eq=False)
class VectorTask(NetworkTask[ExpressionNetwork]):
    """The expression network and its faces.

    Attributes:
        config: The run.
        faces: Photographed faces to learn from.
        weights: (8,) of the emotions.
        val: Those by which weights are compared.
        renders: Rendered faces; None: none.
        network: See `NetworkTask`.
        plan: See `NetworkTask`.
        record: See `NetworkTask`.
    """

    config: FerTrainConfig
    faces: Windows
    weights: Tensor
    val: Windows
    renders: Windows | None
    network: ExpressionNetwork
    plan: TrainPlan
    record: dict[str, Any]

    def losses(self, step: int, average: ExpressionNetwork) -> StepLosses:
        """See `NetworkTask`."""
        config, generator = self.config, step_generator(self.config.seed, step, 0)
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))  # of the dropout
        rows = batch_rows(len(self.faces), config.batch_size, step, config.seed)
        pixels, arkit = self.faces.pixels[rows], None
        if self.renders is not None:
            rendered = torch.randint(len(self.renders), (config.renders,), generator=generator)
            pixels, arkit = torch.cat([pixels, self.renders.pixels[rendered]]), self.renders.targets[rendered]
        side_px = config.fine_px if step >= (1 - config.fine_share) * config.steps else config.input_px
        for network in (self.network, average):
            network.input_px.fill_(side_px)
        images, flip = augmented(pixels, side_px, config.augment, generator)
        predicted = self.network(images.contiguous(memory_format=torch.channels_last))
        n_faces, votes = len(rows), self.faces.targets[rows]
        terms = {"votes": vote_loss(predicted.logits[:n_faces], votes, self.weights)}
        if config.triplet_weight:
            terms["triplets"] = config.triplet_weight * triplet_loss(predicted.vector[:n_faces], votes, generator)
        if arkit is not None:
            terms["arkit"] = config.arkit_weight * arkit_loss(predicted.arkit[n_faces:], arkit, flip[n_faces:])
        return StepLosses(terms, len(pixels))

    def validate(self, average: ExpressionNetwork) -> dict[str, float]:
        """See `NetworkTask`."""
        return validate(average, self.val)

    def score(self, measures: Mapping[str, float]) -> float:
        """See `NetworkTask`: WAR plus UAR."""
        return measures["war"] + measures["uar"]

    def finish(self, average: ExpressionNetwork, measures: Mapping[str, float]) -> FinalNetwork:
        """Calibrate the network; see `NetworkTask`."""
        return FinalNetwork(average, calibrate(average, self.val))


def vector_task(
    config: FerTrainConfig, teacher: ExpressionNetwork | None, is_resumed: bool, report: Report
) -> VectorTask:
    """Return what a run learns.

    Args:
        config: The run.
        teacher: Network whose probabilities are mixed with the votes; None: none.
        is_resumed: A checkpoint will set the weights.
        report: Receives one-line messages.

    Raises:
        Smirk3dError: Data or weights cannot be read.
    """
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
    network = _initial_network(config, is_resumed)
    parts = {"train": faces, "val": val} | ({} if renders is None else {"rendered": renders})
    record = {DATA: {name: each.fingerprint for name, each in parts.items()}}
    plan = TrainPlan(config.steps, config.validate_every, UpdateSettings(config.lr, config.weight_decay, config.ema))
    return VectorTask(config, faces, weights, val, renders, network, plan, record)


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
