"""Checkpoints of a training run, from which it continues bit for bit.

A file holds plain data and tensors only, is written atomically and restored strictly: a mismatch is an error, and is
found before anything is changed.
"""

from __future__ import annotations

import hashlib
import logging
import os
import random
import re
import reprlib
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from smirk3d.assets import atomic_path, printable
from smirk3d.bounded_io import parse_yaml
from smirk3d.errors import Smirk3dError
from smirk3d.train.checkpoint_folder import damage_of
from smirk3d.train.config_file import to_yaml
from smirk3d.train.renamed_keys import with_current_keys
from smirk3d.train.run_config import RunConfig

FORMAT_VERSION = 2
_MAY_DIFFER = re.compile(r"engine\..*|out_dir|(stage\.)?steps")
_PLAIN = (str, int, float, bool, type(None))
_DIGEST = "sha256"
_REMEDY = "resume from another checkpoint, or start anew in an empty folder"
_NAMES_SHOWN = 3
_log = logging.getLogger(__name__)


class Stateful(Protocol):
    """A network, or another object with tensors whose shapes stay the same during a run."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state as tensors and plain data."""
        ...

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> object:
        """Restore a state."""
        ...


@dataclass(frozen=True)
class TrainingState:
    """The state of a run after a step.

    Attributes:
        step: Steps done.
        modules: Networks, and other objects with tensors, by name. The train or eval mode of networks is not saved.
        optimizers: Optimisers by name.
        schedulers: Learning-rate schedulers and loss scalers by name.
        generators: Random generators by name, besides the global ones of torch, NumPy and Python.
        config: Configuration of the run.
        head_hash: Fingerprint of the head model.
        record: Plain data that the run has found out.
    """

    step: int
    modules: Mapping[str, Stateful]
    optimizers: Mapping[str, Optimizer]
    schedulers: Mapping[str, LRScheduler]
    generators: Mapping[str, torch.Generator]
    config: RunConfig
    head_hash: str
    record: dict[str, Any] = field(default_factory=dict)


def save_training(path: str | os.PathLike[str], state: TrainingState) -> None:
    """Write the state of a run and of the global random generators to one file, atomically.

    Args:
        path: File to write; its folder must exist.
        state: State of the run.

    Raises:
        ValueError: A state dict holds other objects than tensors and plain data, and could not be read back safely.
        Smirk3dError: The file cannot be written.
    """
    content = {
        "smirk3d_training": FORMAT_VERSION,
        "step": state.step,
        "config": to_yaml(state.config),
        "head_hash": state.head_hash,
        "record": state.record,
        "generators": {name: generator.get_state() for name, generator in state.generators.items()},
        "global": _global_random_state(),
        **{part: {name: each.state_dict() for name, each in group.items()} for part, group in _parts(state)},
    }
    _refuse_objects(content, "")
    content[_DIGEST] = _digest(content)
    with atomic_path(path) as temporary, open(temporary, "xb") as file:
        try:
            torch.save(content, file)
        except RuntimeError as error:  # torch hides the cause, such as a full disk
            raise (error.__context__ if isinstance(error.__context__, OSError) else error) from error
        file.flush()
        os.fsync(file.fileno())  # otherwise a crash may leave the name without the content


def resume_training(path: str | os.PathLike[str], state: TrainingState) -> int:
    """Restore a checkpoint in place, the global random generators included.

    On the same devices the run then continues bit for bit as without the interruption. Its configuration must equal
    that of the checkpoint, except for `engine`, `out_dir` and `stage.steps`; `generators` must be on devices of the
    same type.

    Args:
        path: File that `save_training` wrote. Nothing in it is executed.
        state: Objects to restore, built from the configuration; `state.step` is ignored.

    Returns:
        Steps done.

    Raises:
        Smirk3dError: The file is missing or damaged, or belongs to another configuration, head or set of objects. All
            of this is compared before anything is changed.
    """
    content = _read(path)
    try:
        faults = [*_differences(content, state), *_mismatches(content, state)]
        if faults:
            raise Smirk3dError(f"{printable(path)}: does not fit this run: {printable('; '.join(faults))}; {_REMEDY}")
        for part, group in _parts(state):
            for name, each in group.items():
                each.load_state_dict(content[part][name])
        for name, generator in state.generators.items():
            generator.set_state(content["generators"][name])
        _restore_global_random_state(content["global"])
        state.record.clear()
        state.record.update(content.get("record", {}))
        return content["step"]
    except Smirk3dError:
        raise
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError, IndexError) as error:
        raise _unreadable(path, error) from error


def read_modules(path: str | os.PathLike[str]) -> dict[str, dict[str, Tensor]]:
    """Read the state dicts of the modules of a checkpoint, by name.

    Raises:
        Smirk3dError: The file is missing or damaged.
    """
    return _read(path)["modules"]


def _parts(state: TrainingState) -> tuple[tuple[str, Mapping[str, Any]], ...]:
    """Return the groups of objects that have a state dict."""
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
    """Return a hexadecimal digest of a checkpoint's content, its own digest excluded."""
    digest = hashlib.sha256()

    def update(value: Any) -> None:
        if isinstance(value, Tensor):
            digest.update(f"{value.dtype}{tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        elif isinstance(value, (Mapping, list, tuple)):
            items = value.items() if isinstance(value, Mapping) else enumerate(value)
            digest.update(f"{len(value)}".encode())
            for key, item in items:
                digest.update(repr(key).encode())
                update(item)
        else:
            digest.update(repr(value).encode())

    update({key: value for key, value in content.items() if key != _DIGEST})
    return digest.hexdigest()


def _read(path: str | os.PathLike[str]) -> dict[str, Any]:
    if damage := damage_of(path):
        raise Smirk3dError(f"{printable(path)}: {damage}; {_REMEDY}")
    try:
        with warnings.catch_warnings():  # torch warns about pickles that it then refuses
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # on damaged bytes the reader raises nearly any type
        raise _unreadable(path, error) from error
    if not isinstance(content, dict) or content.get("smirk3d_training") != FORMAT_VERSION:
        raise Smirk3dError(f"{printable(path)}: is no training checkpoint of format {FORMAT_VERSION}; {_REMEDY}")
    if content.get(_DIGEST) != _digest(content):  # some fields of a zip archive have no checksum
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
    reason = type(error).__name__  # torch's own messages are long and advise to disable the protection
    return Smirk3dError(f"{printable(path)}: holds no whole training state ({reason}); {_REMEDY}")


def _differences(content: Mapping[str, Any], state: TrainingState) -> Iterator[str]:
    """List the differences in configuration and head between checkpoint and run."""
    texts = content["config"], to_yaml(state.config)
    then, now = (dict(_leaves(with_current_keys(parse_yaml(text)))) for text in texts)
    for key in [*now, *(key for key in then if key not in now)]:
        if not _MAY_DIFFER.fullmatch(key) and (key not in then or key not in now or then[key] != now[key]):
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


def _mismatches(content: Mapping[str, Any], state: TrainingState) -> Iterator[str]:
    """List objects, tensors and parameter groups that are only on one side, or of another size."""
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
    """List keys that are missing, unexpected or of another shape."""
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
    """Return the states of the global random generators as plain data; CUDA has one per device."""
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
    if torch.cuda.is_available():  # on more devices the run continues, though not bit for bit
        for device, rng_state in list(enumerate(saved["cuda"]))[: torch.cuda.device_count()]:
            torch.cuda.set_rng_state(rng_state, device)
