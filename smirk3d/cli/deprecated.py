"""Deprecated flags and values of the command line: they work for one more release, with a one-line note."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from smirk3d.cli.console import print_message


def current_value(option: str, value: str, renamed: Mapping[str, str]) -> str:
    """Return the current name of an option's value, with a note where the user gave a deprecated one.

    Args:
        option: What the note calls the option, such as "--only" or "CHECKPOINT".
        value: The value as the user wrote it.
        renamed: Deprecated value -> current value.
    """
    if value not in renamed:
        return value
    _note(f"{option} {value}", renamed[value])
    return renamed[value]


def current_values(option: str, values: Iterable[str], renamed: Mapping[str, str]) -> tuple[str, ...]:
    """Return the current names of several values of one option.

    Args:
        option: See `current_value`.
        values: The values as the user wrote them.
        renamed: Deprecated value -> current value.
    """
    return tuple(current_value(option, value, renamed) for value in values)


def current_flags(arguments: Sequence[str], renamed: Mapping[str, str]) -> list[str]:
    """Return a command line with its deprecated flags replaced, with a note for each.

    A flag may have hyphens or underscores, and its value after an equals sign. Arguments after "--" are no flags.

    Args:
        arguments: The command line after the program's name.
        renamed: Deprecated flag -> current flag, both with hyphens, such as "--old-name" -> "--new-name".
    """
    end = list(arguments).index("--") if "--" in arguments else len(arguments)
    return [*(_current_flag(argument, renamed) for argument in arguments[:end]), *arguments[end:]]


def _current_flag(argument: str, renamed: Mapping[str, str]) -> str:
    name, equals, value = argument.partition("=")
    new_name = renamed.get(name.replace("_", "-")) if name.startswith("--") else None
    if new_name is None:
        return argument
    _note(name, new_name)
    return f"{new_name}{equals}{value}"


def _note(old: str, new: str) -> None:
    print_message(f"{old} is deprecated and works for one more release; use {new}")
