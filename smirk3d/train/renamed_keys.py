"""Old names of configuration keys: they are read for one more release, with a one-line note."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from smirk3d.networks.encoder import RENAMED_KEYS as RENAMED_ENCODER_KEYS

_RENAMED_KEYS = {
    "backbones": "encoder",
    **{f"encoder.{old}": new for old, new in RENAMED_ENCODER_KEYS.items()},
    "backbone_start": "backbone_init",
    "layout.learnt": "code_size",
    "generator_width": "neural_renderer_width",
    "augment.colour": "color",
    "data.most_per_person": "max_per_person",
    "data.sources.*.unlike": "domain_randomization",
    "optimizer.generator_betas": "neural_renderer_betas",
    "stage.cycle.perturb.little_noise": "small_noise",
    "stage.cycle.perturb.arkit_pull": "arkit_blend",
    "stage.cycle.perturb.arkit_little_noise": "arkit_small_noise",
    "stage.cycle.perturb.arkit_stray": "arkit_noise_probability",
    "stage.cycle.perturb.arkit_look": "arkit_gaze_probability",
}
"""Old key, its groups under their current names -> current last part. An asterisk stands for any item of a list."""
_RENAMED_ITEMS = {"stage.trainable": {"generator": "neural_renderer"}}
"""Key of a list -> old item -> current item."""


def with_current_keys(tree: Any, note: Callable[[str], None] = lambda text: None) -> Any:
    """Return configuration data in which deprecated keys have their current names.

    Args:
        tree: Plain data of a YAML file, or anything else, which is returned as it is.
        note: Receives one line for each deprecated name.
    """
    if not isinstance(tree, dict):
        return tree
    return _renamed(tree, "", note)


def current_key(key: str) -> str:
    """Return the current name of a dotted key."""
    path: list[str] = []
    for part in key.split("."):
        path.append(_RENAMED_KEYS.get(".".join([*path, part]), part))
    return ".".join(path)


def _renamed(value: Any, place: str, note: Callable[[str], None]) -> Any:
    if isinstance(value, list):
        return [_renamed(_current_item(item, place, note), f"{place}.*", note) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: _renamed(item, _below(place, name), note) for name, item in _current_items(value, place, note)}


def _current_items(group: dict, place: str, note: Callable[[str], None]) -> Iterator[tuple[Any, Any]]:
    for name, item in group.items():
        new = _RENAMED_KEYS.get(_below(place, name))
        if new is None or new in group:  # both names: the old one is then reported as unknown
            yield name, item
            continue
        note(f"the key {_below(place, name)} is deprecated; use {_below(place, new)}")
        yield new, item


def _current_item(item: Any, place: str, note: Callable[[str], None]) -> Any:
    new = _RENAMED_ITEMS.get(place, {}).get(item) if isinstance(item, str) else None
    if new is None:
        return item
    note(f"{item} in {place} is deprecated; use {new}")
    return new


def _below(place: str, name: Any) -> str:
    return f"{place}.{name}" if place else str(name)
