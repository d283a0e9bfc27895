"""Everything that a training run needs to go on as if it had never stopped, in one file.

A file holds plain data and tensors only, is written whole or not at all, and is restored strictly: what does not
fit is an error, and is found before anything is changed.
"""

from __future__ import annotations

import hashlib
import logging
import os
import random
import re
import reprlib
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from smirk3d.assets import atomic_path, printable
from smirk3d.errors import Smirk3dError
from smirk3d.train.config import TrainConfig
from smirk3d.train.config_file import to_yaml
from smirk3d.train.renamed_keys import with_current_keys

FORMAT_VERSION = 2
_NAME = re.compile(r"step_(\d{8,})\.pt")
_FREE_TO_DIFFER = re.compile(r"engine\..*|out_dir|stage\.steps")
_PLAIN = (str, int, float, bool, type(None))
_DIGEST = "sha256"
_REMEDY = "resume from another checkpoint, or start anew in an empty folder"
_NAMES_SHOWN = 3
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingState:
    """What a run consists of at one moment.

    Attributes:
        step: Steps done.
        modules: Networks by name. Their tensors are saved, not whether they are in training mode.
        optimizers: By name.
        schedulers: Of the learning rates, by name.
        generators: Sources of random numbers by name, beside the global ones of torch, numpy and Python.
        config: What the run was told.
        head_hash: Stands for the content of the head model.
    """

    step: int
    modules: Mapping[str, nn.Module]
    optimizers: Mapping[str, Optimizer]
    schedulers: Mapping[str, LRScheduler]
    generators: Mapping[str, torch.Generator]
    config: TrainConfig
    head_hash: str


def checkpoint_path(folder: str | os.PathLike[str], step: int) -> Path:
    """Return where the checkpoint of a step belongs: `step_00001000.pt`."""
    return Path(folder) / f"step_{step:08d}.pt"


def save_training(path: str | os.PathLike[str], state: TrainingState) -> None:
    """Write a run's state and the global random number generators to one file, whole or not at all.

    Args:
        path: The file; its folder must exist.
        state: The state.

    Raises:
        ValueError: A state dict holds more than tensors and plain data, and could not be read back safely.
        Smirk3dError: The file cannot be written.
    """
    content = {
        "smirk3d_training": FORMAT_VERSION,
        "step": state.step,
        "config": to_yaml(state.config),
        "head_hash": state.head_hash,
        "generators": {name: generator.get_state() for name, generator in state.generators.items()},
        "global": _global_random_state(),
        **{part: {name: each.state_dict() for name, each in group.items()} for part, group in _parts(state)},
    }
    _refuse_objects(content, "")
    content[_DIGEST] = _digest(content)
    with atomic_path(path) as temporary, open(temporary, "xb") as file:
        try:
            torch.save(content, file)
        except RuntimeError as error:  # torch hides what the file system says, such as a full disk
            raise (error.__context__ if isinstance(error.__context__, OSError) else error) from error
        file.flush()
        os.fsync(file.fileno())  # else the name may outlive a crash of the machine without the content


def resume_training(path: str | os.PathLike[str], state: TrainingState) -> int:
    """Restore what `save_training` wrote, in place, the global random number generators included.

    The run then goes on bit for bit as it would have without a stop, on the same devices. Its configuration must
    be the one of the checkpoint, but for `engine`, `out_dir` and `stage.steps`; `generators` must be on devices of
    the same kind.

    Args:
        path: The file. Nothing in it is executed.
        state: Objects to restore, built from the configuration; `state.step` plays no part.

    Returns:
        Steps done.

    Raises:
        Smirk3dError: The file is missing or damaged, or belongs to another configuration, head or set of objects;
            all that is compared before anything is changed.
    """
    content = _read(path)
    try:
        faults = [*_differences(content, state), *_misfits(content, state)]
        if faults:
            raise Smirk3dError(f"{printable(path)}: does not fit this run: {printable('; '.join(faults))}; {_REMEDY}")
        for part, group in _parts(state):
            for name, each in group.items():
                each.load_state_dict(content[part][name])
        for name, generator in state.generators.items():
            generator.set_state(content["generators"][name])
        _restore_global_random_state(content["global"])
        return content["step"]
    except Smirk3dError:
        raise
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError, IndexError, yaml.YAMLError) as error:
        raise _unreadable(path, error) from error


def latest_checkpoint(folder: str | os.PathLike[str]) -> Path | None:
    """Find the newest whole checkpoint of a folder; damaged ones that are newer are reported as logged warnings.

    Returns:
        The file of the highest step, or None where there is no checkpoint.

    Raises:
        Smirk3dError: There are checkpoints, and all are damaged: a run must not start anew unnoticed.
    """
    paths = _newest_first(folder)
    for path in paths:
        if (damage := _damage(path)) is None:
            return path
        _log.warning("%s: %s; the checkpoint before it is taken", printable(path), damage)
    if paths:
        raise Smirk3dError(f"{printable(folder)}: all {len(paths)} checkpoints are damaged; start in another folder")
    return None


def keep_last(folder: str | os.PathLike[str], n: int) -> None:
    """Remove all checkpoints of a folder but those of the `n` highest steps; other files stay.

    Raises:
        ValueError: `n` is below 1.
        Smirk3dError: A file cannot be removed.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, not {n}")
    for path in _newest_first(folder)[n:]:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise Smirk3dError(
                f"{printable(path)}: cannot be removed ({error.strerror}); remove it yourself"
            ) from error


def _newest_first(folder: str | os.PathLike[str]) -> list[Path]:
    steps = {path: int(found[1]) for path in Path(folder).glob("*.pt") if (found := _NAME.fullmatch(path.name))}
    return sorted(steps, key=lambda path: steps[path], reverse=True)


def _parts(state: TrainingState) -> tuple[tuple[str, Mapping[str, Any]], ...]:
    """List what has a state dict."""
    return ("modules", state.modules), ("optimizers", state.optimizers), ("schedulers", state.schedulers)


def _refuse_objects(value: Any, where: str) -> None:
    if isinstance(value, Mapping):
        for key, item in value.items():
            _refuse_objects(item, f"{where}.{key}")
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            _refuse_objects(item, f"{where}.{i}")
    elif not isinstance(value, Tensor) and type(value) not in _PLAIN:  # numpy's scalars are subclasses of Python's
        raise ValueError(f"{where[1:]} is a {type(value).__name__}; only tensors and plain data can be saved")


def _digest(content: Mapping[str, Any]) -> str:
    """Return a hexadecimal digest of all that a checkpoint holds, its own digest aside."""
    digest = hashlib.sha256()

    def take(value: Any) -> None:
        if isinstance(value, Tensor):
            digest.update(f"{value.dtype}{tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        elif isinstance(value, (Mapping, list, tuple)):
            items = value.items() if isinstance(value, Mapping) else enumerate(value)
            digest.update(f"{len(value)}".encode())
            for key, item in items:
                digest.update(repr(key).encode())
                take(item)
        else:
            digest.update(repr(value).encode())

    take({key: value for key, value in content.items() if key != _DIGEST})
    return digest.hexdigest()


def _damage(path: str | os.PathLike[str]) -> str | None:
    """Say what is wrong with the bytes of a checkpoint; torch.load itself would not notice a changed tensor."""
    try:
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip()
    except OSError as error:
        return printable(error.strerror or str(error))
    except Exception as error:  # as below
        return f"is damaged or no checkpoint ({printable(str(error))})"
    return None if bad is None else f"is damaged (in {printable(bad)})"


def _read(path: str | os.PathLike[str]) -> dict[str, Any]:
    if damage := _damage(path):
        raise Smirk3dError(f"{printable(path)}: {damage}; {_REMEDY}")
    try:
        with warnings.catch_warnings():  # about odd pickles, which are refused anyway
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # on damaged bytes the reader raises nearly any kind there is
        raise _unreadable(path, error) from error
    if not isinstance(content, dict) or content.get("smirk3d_training") != FORMAT_VERSION:
        raise Smirk3dError(f"{printable(path)}: is no training checkpoint of format {FORMAT_VERSION}; {_REMEDY}")
    if content.get(_DIGEST) != _digest(content):  # a zip archive has fields that no checksum covers
        raise Smirk3dError(f"{printable(path)}: is damaged; {_REMEDY}")
    return _with_current_names(content)


def _with_current_names(content: dict[str, Any]) -> dict[str, Any]:
    """Rename what checkpoints called "generator" before it was "neural_renderer"."""

    def current(name: str) -> str:
        return "neural_renderer" if name == "generator" else name

    modules = {current(name): state for name, state in content["modules"].items()}
    for optimizer in content["optimizers"].values():
        for group in optimizer["param_groups"]:
            if "name" in group:
                group["name"] = current(group["name"])
    return {**content, "modules": modules}


def _unreadable(path: str | os.PathLike[str], error: Exception) -> Smirk3dError:
    reason = type(error).__name__  # the reader's own texts run over many lines and advise to switch the guard off
    return Smirk3dError(f"{printable(path)}: holds no whole training state ({reason}); {_REMEDY}")


def _differences(content: Mapping[str, Any], state: TrainingState) -> Iterator[str]:
    """Name what the run was told otherwise: configuration and head."""
    texts = content["config"], to_yaml(state.config)
    then, now = (dict(_leaves(with_current_keys(yaml.safe_load(text)))) for text in texts)
    for key in [*now, *(key for key in then if key not in now)]:
        if not _FREE_TO_DIFFER.fullmatch(key) and (key not in then or key not in now or then[key] != now[key]):
            was, wanted = (reprlib.repr(side[key]) if key in side else "nothing" for side in (then, now))
            yield f"{key} was {was}, now {wanted}"
    if content["head_hash"] != state.head_hash:
        yield f"the head was {content['head_hash']}, now {state.head_hash}"


def _leaves(tree: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """List the scalars of a configuration by dotted key; an empty group counts as one."""
    items = list(tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ())
    if not items:
        yield key, tree
    for name, item in items:
        yield from _leaves(item, f"{key}.{name}" if key else str(name))


def _misfits(content: Mapping[str, Any], state: TrainingState) -> Iterator[str]:
    """Name objects, tensors and parameter groups that are only on one side, or of another size."""
    for part, group in _parts(state):
        yield from _unmatched(part, dict.fromkeys(content[part]), dict.fromkeys(group))
    states = {name: generator.get_state() for name, generator in state.generators.items()}
    yield from _unmatched("generators", _shapes(content["generators"]), _shapes(states))
    for name, module in state.modules.items():
        if name in content["modules"]:
            yield from _unmatched(name, _shapes(content["modules"][name]), _shapes(module.state_dict()))
    for name, optimizer in state.optimizers.items():
        wanted = optimizer.state_dict()
        both = content["optimizers"].get(name, wanted), wanted
        was, now = ([len(group["params"]) for group in each["param_groups"]] for each in both)
        if was != now:
            yield f"{name} has parameter groups of {was} tensors, expected {now}"


def _shapes(tensors: Mapping[str, Any]) -> dict[str, object]:
    return {name: getattr(tensor, "shape", None) for name, tensor in tensors.items()}


def _unmatched(owner: str, saved: Mapping[str, object], wanted: Mapping[str, object]) -> Iterator[str]:
    """Count and name the keys that are missing, left over, or hold something else."""
    faults = {
        "missing": [name for name in wanted if name not in saved],
        "unexpected": [name for name in saved if name not in wanted],
        "misshaped": [name for name in wanted if name in saved and saved[name] != wanted[name]],
    }
    for fault, names in faults.items():
        if names:
            more = ", …" if len(names) > _NAMES_SHOWN else ""
            yield f"{owner}: {len(names)} {fault} ({', '.join(names[:_NAMES_SHOWN])}{more})"


def _global_random_state() -> dict[str, Any]:
    """Collect the states of the global generators as plain data; CUDA's are many, one a device."""
    numpy_state = np.random.get_state(legacy=False)
    assert isinstance(numpy_state, dict)
    key = torch.from_numpy(numpy_state["state"]["key"].astype(np.int64))
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": {**numpy_state, "state": {"key": key, "pos": numpy_state["state"]["pos"]}},
        "python": random.getstate(),
    }


def _restore_global_random_state(saved: Mapping[str, Any]) -> None:
    numpy_state = dict(saved["numpy"])
    key = numpy_state["state"]["key"].numpy().astype(np.uint32)
    np.random.set_state({**numpy_state, "state": {**numpy_state["state"], "key": key}})
    random.setstate(saved["python"])
    torch.set_rng_state(saved["torch"])
    if torch.cuda.is_available():  # a run that moves to more devices goes on, though not bit for bit
        for device, rng_state in list(enumerate(saved["cuda"]))[: torch.cuda.device_count()]:
            torch.cuda.set_rng_state(rng_state, device)
