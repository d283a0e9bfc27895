"""The checkpoints in the folder of a run: their names, whether they are intact, and which are kept."""

from __future__ import annotations

import logging
import os
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

from smirk3d.assets import printable
from smirk3d.errors import Smirk3dError
from smirk3d.networks.torch_file import check_archive

_NAME = re.compile(r"step_(\d{8,})\.pt")
_log = logging.getLogger(__name__)


def checkpoint_step(path: str | os.PathLike[str]) -> int:
    """Return the steps done by the name of a checkpoint.

    Raises:
        ValueError: It is not the name of a checkpoint.
    """
    found = _NAME.fullmatch(Path(path).name)
    if found is None:
        raise ValueError(f"{path} is no name of a checkpoint")
    return int(found[1])


def checkpoint_path(folder: str | os.PathLike[str], step: int) -> Path:
    """Return the path of a step's checkpoint, such as `step_00001000.pt`."""
    return Path(folder) / f"step_{step:08d}.pt"


def checkpoints_between(folder: str | os.PathLike[str], first: int, last: int) -> list[Path]:
    """Return the checkpoints of a folder after more than `first` and at most `last` steps, the newest first."""
    return [checkpoint_path(folder, step) for step in _steps(folder) if first < step <= last]


def latest_checkpoint(folder: str | os.PathLike[str]) -> Path | None:
    """Find the newest intact checkpoint of a folder; newer damaged ones are logged as warnings.

    Returns:
        The checkpoint of the highest step, or None where there is none.

    Raises:
        Smirk3dError: All checkpoints are damaged: a run must not silently start anew.
    """
    paths = [checkpoint_path(folder, step) for step in _steps(folder)]
    for path in paths:
        if (damage := damage_of(path)) is None:
            return path
        _log.warning("%s: %s; the checkpoint before it is taken", printable(path), damage)
    if paths:
        raise Smirk3dError(f"{printable(folder)}: all {len(paths)} checkpoints are damaged; start in another folder")
    return None


def keep_last(folder: str | os.PathLike[str], n: int, *, every: int = 0, newest: int | None = None) -> None:
    """Remove all checkpoints of a folder except the last `n`; other files stay.

    A checkpoint that a signal made between two regular ones is removed as well once a later one exists, so that an
    interrupted run leaves the files of an uninterrupted one.

    Args:
        folder: Folder of the run.
        n: Number of checkpoints to keep, those of the highest steps.
        every: Steps from one regular checkpoint to the next; 0 where all are regular.
        newest: Highest step that counts; later ones, which may be damaged, stay. None: there are none.

    Raises:
        ValueError: `n` is below 1.
        Smirk3dError: A file cannot be removed.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, not {n}")
    steps = [step for step in _steps(folder) if newest is None or step <= newest]
    regular = [step for step in steps if not _is_interim(step, steps, every)]
    for step in steps:
        if step not in regular[:n]:
            path = checkpoint_path(folder, step)
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise Smirk3dError(
                    f"{printable(path)}: cannot be removed ({error.strerror}); remove it yourself"
                ) from error


def _is_interim(step: int, steps: Sequence[int], every: int) -> bool:
    """Return whether a step lies between two regular ones, with a later checkpoint; `steps` is in falling order."""
    if every <= 0 or step % every == 0 or step == steps[0]:
        return False
    before = step // every * every
    return before == 0 or before in steps


def _steps(folder: str | os.PathLike[str]) -> list[int]:
    """Return the steps of the checkpoints of a folder, the highest first."""
    names = (path.name for path in Path(folder).glob("*.pt"))
    return sorted((int(found[1]) for name in names if (found := _NAME.fullmatch(name))), reverse=True)


def damage_of(path: str | os.PathLike[str]) -> str | None:
    """Describe damage to the bytes of a checkpoint; torch.load would not notice a changed tensor."""
    try:
        check_archive(path)
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip()
    except OSError as error:
        return printable(error.strerror or str(error))
    except Exception as error:  # on damaged bytes the reader raises nearly any type
        return f"is damaged or no checkpoint ({printable(str(error))})"
    return None if bad is None else f"is damaged (in {printable(bad)})"
