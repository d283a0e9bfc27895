"""Values that are computed at their first use."""

from __future__ import annotations

import pickle

import pytest

from smirk3d.deferred import Deferred, computed


def test_a_value_is_computed_once_and_only_when_used() -> None:
    calls: list[int] = []
    value = Deferred(lambda: calls.append(1) or "found")
    assert calls == []
    assert value.value == value.value == "found"
    assert calls == [1]


def test_equal_values_are_equal() -> None:
    assert Deferred(lambda: 3) == computed(3)
    assert hash(Deferred(lambda: 3)) == hash(computed(3))
    assert computed(3) != computed(4)
    assert computed(3) != 3


def test_functions_that_cannot_be_pickled_are_not() -> None:
    assert pickle.loads(pickle.dumps(Deferred(lambda: [1, 2]))).value == [1, 2]


def test_a_failure_is_raised_again_at_the_next_use() -> None:
    failing = Deferred(lambda: 1 // 0)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            failing.value  # noqa: B018
