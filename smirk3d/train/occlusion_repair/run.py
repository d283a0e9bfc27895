"""The training run of the occlusion network."""

from __future__ import annotations

from pathlib import Path

from smirk3d.train.occlusion_repair.config import OcclusionTrainConfig
from smirk3d.train.occlusion_repair.task import OcclusionTask, occlusion_task
from smirk3d.train.small_network.run import Report, TrainResult, train_network

WEIGHTS_NAME = "occlusion.safetensors"


def train_occlusion_network(config: OcclusionTrainConfig, *, resume: bool = False, report: Report) -> TrainResult:
    """Train the occlusion network; see `smirk3d.train.small_network.run.train_network`."""

    def prepare(is_resumed: bool) -> OcclusionTask:
        return occlusion_task(config, is_resumed, report)

    return train_network(config, prepare, weights_path(config), resume=resume, report=report)


def weights_path(config: OcclusionTrainConfig) -> Path:
    """Return the path of the weights that a run writes."""
    return config.out_dir / WEIGHTS_NAME
