"""The folder of a run: what lies in it, and how a run that was stopped is found there.

`step_*.pt` checkpoints, `networks.safetensors` the weights alone, `config.yaml` what the run was told,
`metrics.csv` and `tensorboard/` its numbers, `previews/` sample pictures.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from smirk3d.assets import atomic_path, printable
from smirk3d.errors import Smirk3dError, UsageError
from smirk3d.networks.checkpoint import save_networks
from smirk3d.train.checkpoint import TrainingState, checkpoint_path, keep_last, latest_checkpoint, save_training
from smirk3d.train.config import TrainConfig
from smirk3d.train.config_file import to_yaml
from smirk3d.train.networks import Networks

WEIGHTS_NAME = "networks.safetensors"
CONFIG_NAME = "config.yaml"
PREVIEWS_NAME = "previews"


def find_start(folder: Path, resume: bool, report: Callable[[str], None]) -> Path | None:
    """Return the checkpoint from which a run goes on, None for one that starts; nothing is written.

    Args:
        folder: Of the run; may not exist yet.
        resume: Go on with the run that lies there. One that ended before its first checkpoint starts anew.
        report: Told of that.

    Raises:
        UsageError: The folder holds something, and the run is not to be resumed, or is none.
        Smirk3dError: The folder is a file, or its checkpoints are all damaged.
    """
    if folder.exists() and not folder.is_dir():
        raise Smirk3dError(f"{printable(folder)}: is no folder; give another out_dir")
    is_empty = not folder.is_dir() or not any(folder.iterdir())
    if not resume:
        if not is_empty:
            raise UsageError(f"{printable(folder)}: is not empty; go on with --resume, or give another out_dir")
        return None
    checkpoint = None if is_empty else latest_checkpoint(folder)
    if checkpoint is None:
        if not is_empty and not (folder / CONFIG_NAME).is_file():
            raise UsageError(f"{printable(folder)}: holds no run that could be resumed; give another out_dir")
        report(f"{printable(folder)}: no checkpoint yet; the run starts at its first step")
    return checkpoint


def make_folder(config: TrainConfig) -> None:
    """Make the run's folder and write the complete configuration into it.

    Raises:
        Smirk3dError: It cannot be written.
    """
    try:
        (config.out_dir / PREVIEWS_NAME).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = printable(error.strerror or str(error))
        raise Smirk3dError(f"{printable(config.out_dir)}: cannot be made ({reason}); give another out_dir") from error
    with atomic_path(config.out_dir / CONFIG_NAME) as temporary:
        temporary.write_text(to_yaml(config), encoding="utf-8")


def save_run(state: TrainingState, networks: Networks) -> None:
    """Write a checkpoint and the weights, then remove checkpoints that are older than those to be kept.

    Raises:
        Smirk3dError: Something cannot be written or removed.
    """
    folder = state.config.out_dir
    save_training(checkpoint_path(folder, state.step), state)
    save_networks(
        folder / WEIGHTS_NAME,
        encoder=networks.encoder,  # type: ignore[arg-type]
        neural_renderer=networks.neural_renderer,  # type: ignore[arg-type]
        meta={"stage": state.config.stage.name, "step": str(state.step), "head": state.head_hash},
    )
    keep_last(folder, state.config.engine.keep_last)


def preview_path(folder: Path, step: int) -> Path:
    """Return where the sample pictures after so many steps belong."""
    return folder / PREVIEWS_NAME / f"step_{step:08d}.png"
