"""The folder of a run.

It holds `step_*.pt` (checkpoints), `networks.safetensors` (the weights alone), `config.yaml` (the complete
configuration), `metrics.csv` and `tensorboard/` (metrics), and `previews/` (sample images).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from smirk3d.assets import atomic_path, printable
from smirk3d.errors import Smirk3dError, UsageError
from smirk3d.networks.checkpoint import read_remarks, save_networks
from smirk3d.output_lock import LOCK_SUFFIX, links_below, locked_folder, sweep_temporaries
from smirk3d.train.checkpoint import TrainingState, save_training
from smirk3d.train.checkpoint_folder import checkpoint_path, keep_last, latest_checkpoint
from smirk3d.train.config import TrainConfig
from smirk3d.train.config_file import to_yaml
from smirk3d.train.networks import Networks
from smirk3d.train.provenance import provenance
from smirk3d.train.stages import FinishStage

WEIGHTS_NAME = "networks.safetensors"
CONFIG_NAME = "config.yaml"
PREVIEWS_NAME = "previews"
EXPRESSION_STD = "expression_std"
"""Entry of the run's record: errors of the ARKit weights, see `EncoderLayout`."""
_RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK")
"""Variables by which Fabric and torchrun number the processes of a run."""


@contextmanager
def claimed_folder(folder: Path) -> Iterator[None]:
    """Hold the folder of a run against other runs; of the processes of one run the first one does.

    What killed runs left half-written is removed.

    Raises:
        Smirk3dError: Another run holds it, nothing can be written there, or what will be written is a symbolic link.
    """
    if not is_first_process():
        yield
        return
    if folder.exists() and not folder.is_dir():
        raise Smirk3dError(f"{printable(folder)}: is no folder; give another out_dir")
    with locked_folder(folder):
        sweep_temporaries([folder / PREVIEWS_NAME])
        for link in sorted(links_below(folder, [CONFIG_NAME, f"{PREVIEWS_NAME}/"])):
            raise Smirk3dError(f"{printable(folder / link)}: is a symbolic link; remove it, or give another out_dir")
        yield


def is_first_process() -> bool:
    """Return whether this process is the first one of a run, or the only one."""
    return not any(int(os.environ.get(name) or 0) for name in _RANKS)


def find_start(folder: Path, resume: bool, report: Callable[[str], None]) -> Path | None:
    """Return the checkpoint from which a run continues, None for a new run; nothing is written.

    Args:
        folder: Folder of the run; may not exist yet.
        resume: Continue the run in that folder. A run that ended before its first checkpoint starts anew.
        report: Receives a line about that.

    Raises:
        UsageError: The folder is not empty and `resume` is not set, or it holds no run.
        Smirk3dError: All its checkpoints are damaged.
    """
    is_empty = not folder.is_dir() or all(path.name == LOCK_SUFFIX for path in folder.iterdir())
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
        config.out_dir.mkdir(parents=True, exist_ok=True)
        # The configuration first: it tells a run that was killed here from the folder of something else.
        with atomic_path(config.out_dir / CONFIG_NAME) as temporary:
            temporary.write_text(to_yaml(config), encoding="utf-8")
        (config.out_dir / PREVIEWS_NAME).mkdir(exist_ok=True)
    except OSError as error:
        reason = printable(error.strerror or str(error))
        raise Smirk3dError(f"{printable(config.out_dir)}: cannot be made ({reason}); give another out_dir") from error


def save_run(state: TrainingState, networks: Networks, stage: TrainConfig) -> None:
    """Write a checkpoint and the weights, then remove checkpoints beyond `engine.keep_last`.

    Args:
        state: State of the run.
        networks: Its networks.
        stage: Its configuration as the present stage has it.

    Raises:
        Smirk3dError: A file cannot be written or removed.
    """
    folder = state.config.out_dir
    save_training(checkpoint_path(folder, state.step), state)
    _save_weights(state, networks, stage)
    _keep_last(state)


def reconcile(state: TrainingState, networks: Networks, stage: TrainConfig, report: Callable[[str], None]) -> None:
    """Make the files of a resumed run those of its checkpoint: a run may end between two files of a step.

    The weights are those of the checkpoint, and there are no more checkpoints than `engine.keep_last`.

    Args:
        state: State that was restored.
        networks: The restored networks.
        stage: The configuration as the stage of the checkpoint has it.
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
        _save_weights(state, networks, stage)
    _keep_last(state)


def _keep_last(state: TrainingState) -> None:
    engine = state.config.engine
    keep_last(state.config.out_dir, engine.keep_last, every=engine.save_every, newest=state.step)


def _save_weights(state: TrainingState, networks: Networks, stage: TrainConfig) -> None:
    assert stage.stage is not None
    about = {"stage": stage.stage.name, "step": str(state.step), "head": state.head_hash}
    save_networks(
        state.config.out_dir / WEIGHTS_NAME,
        encoder=networks.encoder,  # type: ignore[arg-type]
        neural_renderer=networks.neural_renderer,  # type: ignore[arg-type]
        expression_std=state.record.get(EXPRESSION_STD),
        half=isinstance(stage.stage, FinishStage) and stage.stage.half,
        meta=about | provenance(state.config, state.record),
    )


def preview_path(folder: Path, step: int) -> Path:
    """Return the path of the sample images after `step` steps."""
    return folder / PREVIEWS_NAME / f"step_{step:08d}.png"
