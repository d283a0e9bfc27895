"""The folder of a run.

It holds `step_*.pt` (checkpoints), `networks.safetensors` (the weights alone), `config.yaml` (the complete
configuration), `metrics.csv` and `tensorboard/` (metrics), and `previews/` (sample images).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from smirk3d.assets import atomic_path, printable
from smirk3d.errors import Smirk3dError, UsageError
from smirk3d.networks.checkpoint import read_remarks, save_networks
from smirk3d.train.checkpoint import TrainingState, checkpoint_path, keep_last, latest_checkpoint, save_training
from smirk3d.train.config import TrainConfig
from smirk3d.train.config_file import to_yaml
from smirk3d.train.networks import Networks

WEIGHTS_NAME = "networks.safetensors"
CONFIG_NAME = "config.yaml"
PREVIEWS_NAME = "previews"


def find_start(folder: Path, resume: bool, report: Callable[[str], None]) -> Path | None:
    """Return the checkpoint from which a run continues, None for a new run; nothing is written.

    Args:
        folder: Folder of the run; may not exist yet.
        resume: Continue the run in that folder. A run that ended before its first checkpoint starts anew.
        report: Receives a line about that.

    Raises:
        UsageError: The folder is not empty and `resume` is not set, or it holds no run.
        Smirk3dError: The folder is a file, or all its checkpoints are damaged.
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
    """Make the folder of a run and write the complete configuration into it.

    Raises:
        Smirk3dError: The folder cannot be made or written to.
    """
    try:
        (config.out_dir / PREVIEWS_NAME).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = printable(error.strerror or str(error))
        raise Smirk3dError(f"{printable(config.out_dir)}: cannot be made ({reason}); give another out_dir") from error
    with atomic_path(config.out_dir / CONFIG_NAME) as temporary:
        temporary.write_text(to_yaml(config), encoding="utf-8")


def save_run(state: TrainingState, networks: Networks) -> None:
    """Write a checkpoint and the weights, then remove checkpoints beyond `engine.keep_last`.

    Raises:
        Smirk3dError: A file cannot be written or removed.
    """
    folder = state.config.out_dir
    save_training(checkpoint_path(folder, state.step), state)
    _save_weights(state, networks)
    keep_last(folder, state.config.engine.keep_last)


def reconcile(state: TrainingState, networks: Networks, report: Callable[[str], None]) -> None:
    """Make the weights of a resumed run those of its checkpoint: a run may end between the two files of a step.

    Args:
        state: State that was restored.
        networks: The restored networks.
        report: Receives a line where the weights were of another step.

    Raises:
        Smirk3dError: The weights cannot be written.
    """
    path = state.config.out_dir / WEIGHTS_NAME
    try:
        step = read_remarks(path).get("step")
    except Smirk3dError:  # missing or damaged
        step = None
    if step != str(state.step):
        report(f"{printable(path)}: {f'of step {step}' if step else 'missing'}; written anew from step {state.step}")
        _save_weights(state, networks)


def _save_weights(state: TrainingState, networks: Networks) -> None:
    folder = state.config.out_dir
    save_networks(
        folder / WEIGHTS_NAME,
        encoder=networks.encoder,  # type: ignore[arg-type]
        neural_renderer=networks.neural_renderer,  # type: ignore[arg-type]
        meta={"stage": state.config.stage.name, "step": str(state.step), "head": state.head_hash},
    )


def preview_path(folder: Path, step: int) -> Path:
    """Return the path of the sample images after `step` steps."""
    return folder / PREVIEWS_NAME / f"step_{step:08d}.png"
