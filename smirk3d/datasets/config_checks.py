"""Range checks of configuration records.

Every check raises a `ValueError` whose message starts with the name of the field, such as "size must be at least 1,
not 0"; `smirk3d.train.config_file` puts the path of the key before it.
"""

from __future__ import annotations

import math
import reprlib
import sys
from operator import attrgetter
from typing import Any


def check(record: Any, name: str, is_valid: bool, requirement: str) -> None:
    """Check one field of a record.

    Args:
        record: Configuration record.
        name: Field, dotted for a field of a nested record.
        is_valid: Whether the value is allowed.
        requirement: What the value must be, for the message.

    Raises:
        ValueError: `is_valid` is False.
    """
    if not is_valid:
        raise ValueError(f"{name} must be {requirement}, not {reprlib.repr(_as_lists(attrgetter(name)(record)))}")


def check_within(record: Any, low: float, high: float, *names: str) -> None:
    """Check that fields lie in [low, high].

    Raises:
        ValueError: One does not.
    """
    for name in names:
        requirement = f"at least {low}" if high >= sys.float_info.max else f"in [{low}, {high}]"
        check(record, name, low <= attrgetter(name)(record) <= high, requirement)


def check_positive(record: Any, *names: str) -> None:
    """Check that fields are finite and above 0.

    Raises:
        ValueError: One is not.
    """
    for name in names:
        check(record, name, 0 < attrgetter(name)(record) < math.inf, "above 0")


def check_ranges(record: Any, low: float, high: float, *names: str) -> None:
    """Check that fields are pairs with low <= first <= second <= high.

    Raises:
        ValueError: One is not.
    """
    for name in names:
        first, last = attrgetter(name)(record)
        check(record, name, low <= first <= last <= high, f"two rising numbers in [{low}, {high}]")


def _as_lists(value: Any) -> Any:
    """Return a value as a YAML file holds it: lists for tuples."""
    return [_as_lists(item) for item in value] if isinstance(value, tuple) else value
