"""What the networks of the transformer engine learn: to show people with another expression and pose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from smirk3d.authoring.load import load_head
from smirk3d.head.model import HeadModel
from smirk3d.reenactment.transformer.network import NetworkLayout
from smirk3d.reenactment.transformer.weights import TransformerNetworks
from smirk3d.train.averaged_update import UpdateSettings
from smirk3d.train.provenance import DATA
from smirk3d.train.reenactment.config import ReenactmentTrainConfig
from smirk3d.train.reenactment.data import PeopleData, people_of
from smirk3d.train.reenactment.step import losses_of, random_batch
from smirk3d.train.reenactment.validation import validate
from smirk3d.train.schedule import step_generator
from smirk3d.train.small_network.run import Report
from smirk3d.train.small_network.task import NetworkTask, StepLosses, TrainPlan

_MAX_GRADIENT_NORM = 1.0


@dataclass(frozen=True, eq=False)
class ReenactmentTask(NetworkTask[TransformerNetworks]):
    """The networks and the people.

    Attributes:
        config: The run.
        people: Those to learn from, and those by whom weights are compared.
        network: See `NetworkTask`.
        plan: See `NetworkTask`.
        record: See `NetworkTask`.
    """

    config: ReenactmentTrainConfig
    people: PeopleData
    network: TransformerNetworks
    plan: TrainPlan
    record: dict[str, Any]

    def losses(self, step: int, average: TransformerNetworks) -> StepLosses:
        """See `NetworkTask`."""
        generator = step_generator(self.config.seed, step, 0)
        batch = random_batch(self.config, self.people, generator).to(self.config.engine.device)
        return StepLosses(losses_of(self.config, self.network, batch, generator), len(batch.views))

    def validate(self, average: TransformerNetworks) -> dict[str, float]:
        """See `NetworkTask`."""
        return validate(average, self.people.validation, self.config.engine.device)

    def score(self, measures: Mapping[str, float]) -> float:
        """See `NetworkTask`: the ratios from one source and from three."""
        return measures["psnr_db"] + measures["psnr_3_db"]


def reenactment_task(config: ReenactmentTrainConfig, report: Report) -> ReenactmentTask:
    """Return what a run learns.

    Raises:
        Smirk3dError: Data cannot be read.
    """
    head = load_head("open", report=report)
    people = people_of(config, head)
    report(f"{len(people.rendered)} rendered people, {0 if people.changed is None else len(people.changed)} photos")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        networks = TransformerNetworks(NetworkLayout(**vars(config.layout)), neutral_landmarks(head))
    networks = networks.to(config.engine.device).train()
    update = UpdateSettings(config.lr, config.weight_decay, config.ema, _MAX_GRADIENT_NORM)
    plan = TrainPlan(config.steps, config.validate_every, update)
    return ReenactmentTask(config, people, networks, plan, {DATA: people.fingerprint})


def neutral_landmarks(head: HeadModel) -> Tensor:
    """Return where MediaPipe's landmarks are on a neutral head, (478, 3) metres."""
    return head.landmark_embedding("mediapipe").points(head.v_template, head.faces)
