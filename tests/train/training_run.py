"""Runs of a few tiny steps on a small head. As a script: the command line, with these in place of photos and heads."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import nn
from training_scene import SIZE, SMALL, small_batch, small_head, small_networks

from smirk3d.head.model import HeadModel
from smirk3d.head.spec import ParamSpec
from smirk3d.networks.encoder import EncoderConfig
from smirk3d.train.batch import TrainingBatch
from smirk3d.train.config import (
    CycleConfig,
    DataConfig,
    EngineConfig,
    LossWeights,
    SourceConfig,
    StageConfig,
    TrainConfig,
)
from smirk3d.train.scene import Networks

CORE = StageConfig(
    "core", ("expression", "generator"), LossWeights(landmark=100, photo=10, expression=1e-3), 4, CycleConfig()
)
PRETRAIN = StageConfig("pretrain", ("pose", "shape", "expression"), LossWeights(landmark=100, identity=10), 4)


def tiny_run(out_dir: Path, stage: StageConfig = CORE, **changes: Any) -> TrainConfig:
    """Return a run of the smallest networks."""
    config = TrainConfig(
        backbones=EncoderConfig(SMALL, SMALL, SMALL),
        generator_width=4,
        out_dir=out_dir,
        data=DataConfig((SourceConfig(kind="rendered"),), size=SIZE, batch_size=4),
        stage=stage,
        engine=EngineConfig(accelerator="cpu", save_every=2, keep_last=2, preview_every=2),
    )
    return replace(config, **changes)


class SmallFaces:
    """Stands in for `Stream`: the batch of a step is a pure function of its number."""

    faults = ()

    def __init__(self, config: TrainConfig, head: HeadModel) -> None:
        self._count, self._head = config.data.batch_size, head

    def __len__(self) -> int:
        return 1000

    def batch(self, step: int) -> TrainingBatch:
        """Return the batch of all processes."""
        return small_batch(self._head, self._count, seed=step)

    def batches(self, start: int, stop: int, rank: int = 0, world: int = 1) -> Iterator[TrainingBatch]:
        """Yield a process's share of each step."""
        for step in range(start, stop):
            yield self.batch(step).take(torch.arange(rank, self._count, world))


def stand_in(set_attribute: Callable[[str, object], object], *, with_norms: bool = True) -> None:
    """Put the small head, its faces and small networks into the loop; without norms a batch is the sum of its parts."""
    head = _head()

    def build(config: TrainConfig, spec: ParamSpec) -> Networks:
        networks = small_networks(head)
        if not with_norms:
            _drop_norms(networks.encoder)
        return networks if config.stage.name == "core" else Networks(networks.encoder)

    set_attribute("Stream", SmallFaces)
    set_attribute("load_head", lambda name, report: head)
    set_attribute("build_networks", build)


@lru_cache
def _head() -> HeadModel:
    return small_head("arkit")


def _drop_norms(network: nn.Module) -> None:
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, nn.Identity())


def _main() -> int:
    from smirk3d.cli.main import main
    from smirk3d.train import loop

    stand_in(lambda name, value: setattr(loop, name, value), with_norms=False)
    return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(_main())
