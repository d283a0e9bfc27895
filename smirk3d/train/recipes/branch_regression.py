"""Train one branch of the windowed encoder on rendered heads and on photos with pseudo-targets.

    python -m smirk3d.train.recipes.branch_regression pose --photos shards/ --targets targets.npz \\
        --out out/branches --steps 1000
    python -m smirk3d.train.recipes.branch_regression shape --photos shards/ --targets targets.npz \\
        --out out/branches --steps 1000
    python -m smirk3d.train.recipes.branch_regression expression --photos shards/ --targets targets.npz \\
        --out out/branches --steps 4000

The targets come from `smirk3d data targets`. It is a run of `smirk3d train` with one regression stage
(`smirk3d.train.tasks.regression`); `configs/recipes/open.yaml` trains all branches, and more, in one run. A stopped run
continues. `smirk3d.train.recipes.assemble_encoder` makes one encoder of three branches.
"""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from smirk3d.assets import atomic_path
from smirk3d.authoring.load import load_head
from smirk3d.datasets.config import AugmentConfig, DataConfig
from smirk3d.networks.checkpoint import save_networks
from smirk3d.networks.encoder import Encoder
from smirk3d.networks.neural_renderer import NeuralRenderer
from smirk3d.networks.torch_file import read_own_state
from smirk3d.train.config import EngineConfig, TrainConfig
from smirk3d.train.loop import train
from smirk3d.train.recipes.branch_data import CONFIG, SIZE_PX, BranchOptions, branch_sources
from smirk3d.train.recipes.command import run_recipe
from smirk3d.train.run_folder import CONFIG_NAME, WEIGHTS_NAME
from smirk3d.train.stages import RegressionStage, ValidationConfig

CROP_SCALE = (1.25, 1.6)
_log = logging.getLogger(__name__)


def run_config(options: BranchOptions) -> TrainConfig:
    """Return the training run of the options; its folder is `BRANCH_run` beside the result."""
    repaints = options.neural_renderer is not None
    stage = RegressionStage(
        name=options.branch,
        branch=options.branch,
        steps=options.steps,
        start="imagenet" if options.init is None else "present",
        lr=options.lr,
        frozen_stages=options.frozen_stages,
        regression_steps=options.regression_steps,
        whiten_sides=options.whiten_sides,
        photo_weight=options.photo_weight,
        landmark_weight=options.landmark_weight,
        consistency_weight=options.consistency_weight,
        repainted_weight=options.repainted_weight if repaints else 0.0,
        pairs=options.pairs,
        pair_count=options.pair_count,
        labels=options.labels,
        labelled=options.labelled,
        emotion_weight=options.emotion_weight,
    )
    faces = options.validation_count
    return TrainConfig(
        encoder=CONFIG,
        init=None if options.init is None else options.out / f"{options.branch}_init.safetensors",
        init_neural_renderer=options.neural_renderer,
        neural_renderer_width=_renderer_width(options.neural_renderer),
        out_dir=options.out / f"{options.branch}_run",
        data=DataConfig(branch_sources(options), size=SIZE_PX, crop_scale=CROP_SCALE, batch_size=options.batch_size),
        augment=AugmentConfig(color=0.0),  # rendered heads have random colours already, and most photos are grey
        stage=stage,
        validation=ValidationConfig(every=options.steps if faces else 0, faces=max(faces, 16)),
        engine=EngineConfig(accelerator="cpu", save_every=500, preview_every=0),
        seed=options.seed,
    )


def main(options: BranchOptions) -> None:
    """Train the branch and write its state dict."""
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    config = run_config(options)
    if options.init is not None and config.init is not None:
        _save_initial(options.init, options.branch, config.init)
    train(config, resume=(config.out_dir / CONFIG_NAME).exists(), report=_log.info)
    encoder = Encoder.from_checkpoint(config.out_dir / WEIGHTS_NAME)
    with atomic_path(options.out / f"{options.branch}.pt") as temporary:
        torch.save(encoder.get_submodule(f"{options.branch}_encoder").state_dict(), temporary)


def _save_initial(branch_file: Path, branch: str, path: Path) -> None:
    """Write networks in which one branch has the weights of a state dict."""
    encoder = Encoder(load_head().spec, CONFIG, SIZE_PX)
    encoder.get_submodule(f"{branch}_encoder").load_state_dict(read_own_state(branch_file))
    save_networks(path, encoder=encoder, meta={"branch": branch})


def _renderer_width(path: Path | None) -> int:
    if path is None:
        return TrainConfig.neural_renderer_width
    return NeuralRenderer.from_checkpoint(path).conv.in_channels


if __name__ == "__main__":
    run_recipe(BranchOptions, main)
