"""The training run of the transformer engine."""

from __future__ import annotations

from pathlib import Path

from smirk3d.train.reenactment.config import ReenactmentTrainConfig
from smirk3d.train.reenactment.task import ReenactmentTask, reenactment_task
from smirk3d.train.small_network.run import Report, TrainResult, train_network

WEIGHTS_NAME = "reenactment.safetensors"


def train_transformer(config: ReenactmentTrainConfig, *, resume: bool = False, report: Report) -> TrainResult:
    """Train the transformer engine; see `smirk3d.train.small_network.run.train_network`."""

    def prepare(is_resumed: bool) -> ReenactmentTask:
        return reenactment_task(config, report)

    return train_network(config, prepare, weights_path(config), resume=resume, report=report)


def weights_path(config: ReenactmentTrainConfig) -> Path:
    """Return the path of the weights that a run writes."""
    return config.out_dir / WEIGHTS_NAME
