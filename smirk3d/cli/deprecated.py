"""Deprecated values of flags and arguments: they work for one more release, with a one-line note.

A deprecated flag is an alias of the current one: `tyro.conf.arg(aliases=("--old-name",))`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

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
    print_message(f"{option} {value} is deprecated and works for one more release; use {renamed[value]}")
    return renamed[value]


def current_values(option: str, values: Iterable[str], renamed: Mapping[str, str]) -> tuple[str, ...]:
    """Return the current names of several values of one option.

    Args:
        option: See `current_value`.
        values: The values as the user wrote them.
        renamed: Deprecated value -> current value.
    """
    return tuple(current_value(option, value, renamed) for value in values)
