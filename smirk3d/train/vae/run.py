"""The training run of the face autoencoder."""

from __future__ import annotations

from pathlib import Path

from smirk3d.train.small_network.run import Report, TrainResult, train_network
from smirk3d.train.vae.config import VaeTrainConfig
from smirk3d.train.vae.task import VaeTask, vae_task

WEIGHTS_NAME = "vae.safetensors"


def train_vae(config: VaeTrainConfig, *, resume: bool = False, report: Report) -> TrainResult:
    """Train the face autoencoder; see `smirk3d.train.small_network.run.train_network`."""

    def prepare(is_resumed: bool) -> VaeTask:
        return vae_task(config, report)

    return train_network(config, prepare, weights_path(config), resume=resume, report=report)


def weights_path(config: VaeTrainConfig) -> Path:
    """Return the path of the weights that a run writes."""
    return config.out_dir / WEIGHTS_NAME
