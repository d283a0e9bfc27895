"""Reading and writing of a run's configuration as YAML.

A file holds only values that differ from the defaults; `key=value` overrides have priority over the file. An unknown
key is an error that names the nearest one; deprecated keys are in `smirk3d.train.renamed_keys`.
"""

from __future__ import annotations

import difflib
import math
import os
import re
import reprlib
import sys
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from smirk3d.assets import printable
from smirk3d.bounded_io import MAX_YAML_BYTES, parse_yaml, read_text
from smirk3d.errors import Smirk3dError
from smirk3d.train.config import TrainConfig
from smirk3d.train.renamed_keys import current_key, with_current_keys

Record = TypeVar("Record")


def load_config(
    path: str | os.PathLike[str], overrides: Sequence[str] = (), report: Callable[[str], None] = lambda text: None
) -> TrainConfig:
    """Read the configuration of an encoder's training; see `load_record`."""
    return load_record(TrainConfig, path, overrides, report)


def load_record(
    record: type[Record],
    path: str | os.PathLike[str],
    overrides: Sequence[str] = (),
    report: Callable[[str], None] = lambda text: None,
) -> Record:
    """Read a configuration: the file over the defaults, then the overrides in their order.

    Args:
        record: Class of the configuration.
        path: YAML file with a mapping; plain data only, nothing in it is executed.
        overrides: Texts `a.b.c=value`, the value in YAML; lists are replaced as a whole. An item of a list that has a
            name is a group of that name: `stages.expression.steps=2000`. Text without quotes counts letter by letter:
            a line break or a `#` in a file name stays.
        report: Receives one line for each deprecated key.

    Raises:
        Smirk3dError: The file cannot be read or is no YAML, or a key is unknown, given twice, missing, of a wrong
            type or out of its range; the message names the key, and the file or the override.
    """
    try:
        tree = with_current_keys(_parse(read_text(path, MAX_YAML_BYTES)) or {}, report)
        if not isinstance(tree, dict):
            raise ValueError("it is no mapping of keys to values")
    except (OSError, ValueError) as error:
        reason = printable(getattr(error, "strerror", None) or str(error))
        raise Smirk3dError(
            f"{printable(path)}: cannot be read as YAML: {reason}; give a file like those in configs/"
        ) from error
    keys = [current_key(text.partition("=")[0]) for text in overrides]
    try:
        for key, text in zip(keys, overrides):
            if key != (given := text.partition("=")[0]):
                report(f"the key {given} is deprecated; use {key}")
            _overlay(tree, key, text)
        return _convert(record, with_current_keys(tree, report), "")
    except _KeyError as fault:
        fault = _with_nearest(fault, record)
        blamed = [text for key, text in dict(zip(keys, overrides)).items() if _on_one_branch(key, fault.key)]
        where = f"override {printable(blamed[-1])}" if blamed else printable(path)
        raise Smirk3dError(f"{where}: {printable(str(fault))}") from fault


def to_yaml(config: Any, *, with_folders: bool = True) -> str:
    """Return the complete configuration, defaults included, as YAML that `load_config` reads back as an equal one.

    Args:
        config: The configuration, a record such as `TrainConfig`.
        with_folders: False: only the last part of absolute paths.
    """
    return yaml.dump(_plain(config, with_folders), Dumper=_Dumper, sort_keys=False)


class _KeyError(ValueError):
    """An error in the value of one key."""

    def __init__(self, key: str, fault: str) -> None:
        super().__init__(f"{key or 'the configuration'} {fault}")
        self.key = key


class _UnknownKeyError(_KeyError):
    """A key that does not exist; `siblings` are those of its group."""

    def __init__(self, prefix: str, name: Any, siblings: Iterable[str]) -> None:
        super().__init__(f"{prefix}{name}", "is no key")
        self.prefix, self.name, self.siblings = prefix, name, list(siblings)


def _with_nearest(fault: _KeyError, record: Any) -> _KeyError:
    """Return the error of a key that does not exist with the nearest one of a configuration that does."""
    if not isinstance(fault, _UnknownKeyError):
        return fault
    nearest = _nearest(record, fault.prefix, fault.name, fault.siblings)
    return _KeyError(fault.key, f"is no key; the nearest one is {nearest}")


_TYPE_NAMES = {float: "a finite number", int: "a whole number", str: "text", bool: "true or false", Path: "a path"}


def _convert(hint: Any, value: Any, key: str) -> Any:
    """Convert plain YAML data to the type of a hint; raises `_KeyError`."""
    kind, args = get_origin(hint), get_args(hint)
    if is_dataclass(hint):
        return _convert_record(hint, value, key)
    if kind in (Union, UnionType):
        return _convert_union(args, value, key)
    if kind is Literal:
        if not any(value == arg and type(value) is type(arg) for arg in args):
            raise _KeyError(key, f"must be one of {', '.join(args)}, not {reprlib.repr(value)}")
        return value
    if kind is tuple:
        return _convert_list(args, value, key)
    if hint is float and type(value) is int and abs(value) <= sys.float_info.max:
        return float(value)
    if hint is Path and type(value) is str and value:
        return Path(value)
    if type(value) is not hint or (isinstance(value, float) and not math.isfinite(value)):
        raise _KeyError(key, f"must be {_TYPE_NAMES[hint]}, not {reprlib.repr(value)}")
    return value


def _convert_union(hints: tuple, value: Any, key: str) -> Any:
    """Convert to one of several records, or to the one type beside None."""
    if value is None and NoneType in hints:
        return None
    records = [hint for hint in hints if is_dataclass(hint)]
    if len(records) > 1:
        return _convert_record(_record_of_task(records, value, key), value, key)
    return _convert(next(hint for hint in hints if hint is not NoneType), value, key)


def _record_of_task(records: list, value: Any, key: str) -> Any:
    """Return the record whose default of the key `task` is that of a mapping; the first one where it has none."""
    by_task = {record.__dataclass_fields__["task"].default: record for record in records}
    task = value.get("task", next(iter(by_task))) if isinstance(value, dict) else next(iter(by_task))
    if not isinstance(task, str) or task not in by_task:
        raise _KeyError(f"{key}.task", f"must be one of {', '.join(by_task)}, not {reprlib.repr(task)}")
    return by_task[task]


def _convert_list(hints: tuple, value: Any, key: str) -> tuple:
    """Convert the items of a list; `hints` are those of a tuple, (X, ...) or one for each item."""
    count = None if hints[-1] is ... else len(hints)
    if not isinstance(value, list) or count not in (None, len(value)):
        wanted = "a list" if count is None else f"a list of {count}"
        raise _KeyError(key, f"must be {wanted}, not {reprlib.repr(value)}")
    each = hints if count else hints[:1] * len(value)
    names = [item.get("name") if isinstance(item, dict) else None for item in value]
    keys = [f"{key}.{i if name is None else name}" for i, name in enumerate(names)]
    return tuple(_convert(hint, item, key) for hint, item, key in zip(each, value, keys))


def _convert_record(record: Any, value: Any, key: str) -> Any:
    if not isinstance(value, dict):
        raise _KeyError(key, f"must be a mapping of keys to values, not {reprlib.repr(value)}")
    prefix = f"{key}." if key else ""
    hints = get_type_hints(record)
    for name in value:
        if name not in hints:
            raise _UnknownKeyError(prefix, name, hints)
    for each in fields(record):
        if each.name not in value and each.default is MISSING and each.default_factory is MISSING:
            raise _KeyError(prefix + each.name, "is missing; give it in the file or as an override")
    members = {name: _convert(hints[name], item, prefix + name) for name, item in value.items()}
    try:
        return record(**members)
    except ValueError as error:  # its text begins with the name of the field
        name, _, fault = str(error).partition(" ")
        raise _KeyError(prefix + name, fault) from error


def _nearest(record: Any, prefix: str, name: Any, siblings: Iterable[str]) -> str:
    """Return the key that was probably meant: one of the same name elsewhere, else the most similar one."""
    known = [key for key in known_keys(record) if not prefix.startswith(f"{key}.")]
    known += [prefix + sibling for sibling in siblings]
    namesakes = [key for key in known if key.rpartition(".")[2] == name]
    return difflib.get_close_matches(f"{prefix}{name}", namesakes or known, n=1, cutoff=0)[0]


def known_keys(record: Any, prefix: str = "") -> Iterator[str]:
    """Yield all dotted keys of a configuration record, groups included, without those of list items."""
    for name, hint in get_type_hints(record).items():
        yield prefix + name
        group = next((arg for arg in (hint, *get_args(hint)) if is_dataclass(arg)), None)
        if group is not None and get_origin(hint) is not tuple:
            yield from known_keys(group, f"{prefix}{name}.")


def _overlay(tree: Any, key: str, text: str) -> None:
    """Set the value of an override `key=value` in the tree; raises `_KeyError`."""
    *groups, last = key.split(".")
    if "=" not in text or not all((*groups, last)):
        raise _KeyError(text, "is no override; write it as a.b.c=value")
    for depth, name in enumerate(groups, 1):
        if tree.get(name) is None:
            tree[name] = {}
        tree = tree[name]
        if isinstance(tree, list) and depth < len(groups):
            tree = _named_items(tree, ".".join(groups[: depth + 1]))
        if not isinstance(tree, dict):
            raise _KeyError(".".join(groups[:depth]), "has no keys below it; give it as a whole")
    try:
        tree[last] = _parse_override(text.partition("=")[2])
    except ValueError as error:
        raise _KeyError(key, f"is no YAML: {error}") from error


def _named_items(items: list, key: str) -> dict | None:
    """Return the items of a list that have a name by it, None where there are none; raises for a key of another one."""
    named = {str(each["name"]): each for each in items if isinstance(each, dict) and "name" in each}
    if named and key.rpartition(".")[2] not in named:
        raise _KeyError(key, f"is no item; there are {', '.join(named)}")
    return named or None


def _on_one_branch(key: str, other: str) -> bool:
    return key == other or key.startswith(f"{other}.") or other.startswith(f"{key}.")


_STYLED = ("'", '"', "|", ">", "!", "&", "%", "---", "#")
"""Beginnings of a YAML text that is not plain: quotes, blocks, tags, anchors, directives, comments."""


class _Loader(yaml.SafeLoader):
    """Reads plain data; unlike its base it refuses duplicate keys and reads 1e-3 as a number."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        names = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in names:
                raise yaml.MarkedYAMLError(problem=f"key {key.value} is given twice", problem_mark=key.start_mark)
            names.add(key.value)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Quotes texts that `_Loader` would read as numbers."""


for _class in (_Loader, _Dumper):
    _class.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
    )


def _parse(text: str) -> Any:
    """Read YAML; raises `ValueError` with one line of text."""
    return parse_yaml(text, _Loader)


def _parse_override(text: str) -> Any:
    """Read the value of an override as `_parse` does, text without quotes as it is.

    YAML makes a space of a line break and a comment of what follows ` #`, which would name another file.
    """
    value, plain = _parse(text), text.strip(" \t")
    is_plain = isinstance(value, str) and not plain.lstrip().startswith(_STYLED)
    return plain if is_plain else value


def _plain(value: Any, with_folders: bool = True) -> Any:
    """Convert a record to dicts, lists and scalars; see `to_yaml`."""
    if is_dataclass(value):
        return {each.name: _plain(getattr(value, each.name), with_folders) for each in fields(value)}
    if isinstance(value, tuple):
        return [_plain(item, with_folders) for item in value]
    if isinstance(value, Path):
        return str(value) if with_folders or not value.is_absolute() else value.name
    return value
