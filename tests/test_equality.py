"""Records with arrays: equal by contents, hashable, usable in lists and sets."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from smirk3d.equality import EqualByContents


@dataclass(frozen=True, eq=False)
class Record(EqualByContents):
    array: np.ndarray
    scalar: float = 1.0
    mapping: dict[str, float] = field(default_factory=dict)
    parts: tuple[object, ...] = ()


@dataclass(frozen=True, eq=False)
class OtherRecord(EqualByContents):
    array: np.ndarray


def _record() -> Record:
    return Record(np.array([1, np.nan], np.float32), float("nan"), {"a": float("nan")}, (np.arange(3), ("b", 2)))


def test_copies_are_equal_and_hash_alike() -> None:
    record = _record()
    for other in (record, copy.copy(record), copy.deepcopy(record), replace(record), _record()):
        assert record == other and (record != other) is False and hash(record) == hash(other)
    assert record in [_record()] and {record: 1}[_record()] == 1 and len({record, _record()}) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"array": np.array([1, 2], np.float32)},
        {"array": np.array([1, np.nan], np.float64)},
        {"array": np.array([[1, np.nan]], np.float32)},
        {"scalar": 0.0},
        {"mapping": {"a": 0.0}},
        {"mapping": {"b": float("nan")}},
        {"parts": (np.arange(3),)},
        {"parts": (np.arange(3), ("b", 3))},
        {"parts": (np.array([0, 1, 3]), ("b", 2))},
    ],
)
def test_any_change_makes_a_difference(changes: dict[str, object]) -> None:
    record = _record()
    assert record != replace(record, **changes) and replace(record, **changes) not in [record]


def test_other_classes_are_different() -> None:
    array = np.zeros(2)
    assert Record(array) != OtherRecord(array) and Record(array) != array.tolist() and Record(array) != None  # noqa: E711


def test_the_hash_stays_when_an_array_changes_in_place() -> None:
    record = _record()
    before = hash(record)
    record.array[0] = 5
    assert hash(record) == before and record != _record()
