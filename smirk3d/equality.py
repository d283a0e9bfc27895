"""Equality and hashing by contents for frozen records with arrays, which `dataclass` alone cannot compare."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import Field, fields
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray


class EqualByContents:
    """Base of frozen dataclasses, declared with `eq=False`, whose fields may be arrays, mappings or tuples of them.

    Two records are equal if they are of the same class and all their fields are: arrays in shape, type and every
    value, where NaN equals NaN. The hash takes only the shapes and types of arrays, and nothing of mappings, so that
    it stays the same when their contents are changed in place.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, EqualByContents) or type(self) is not type(other):
            return NotImplemented
        return self is other or all(_equal(getattr(self, f.name), getattr(other, f.name)) for f in fields(self))

    def __hash__(self) -> int:
        return hash((type(self).__qualname__, *(_hash_key(getattr(self, f.name)) for f in fields(self))))


def _equal(a: object, b: object) -> bool:
    """Compare two fields; arrays within tuples and mappings are found."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return _equal_arrays(cast("NDArray[Any]", a), cast("NDArray[Any]", b))
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        first, second = cast("Mapping[Any, object]", a), cast("Mapping[Any, object]", b)
        return first.keys() == second.keys() and all(_equal(value, second[key]) for key, value in first.items())
    if isinstance(a, tuple) and isinstance(b, tuple):
        left, right = cast("tuple[object, ...]", a), cast("tuple[object, ...]", b)
        return len(left) == len(right) and all(_equal(*pair) for pair in zip(left, right))
    return bool(cast("object", a) == b) or (_is_nan(cast("object", a)) and _is_nan(b))


def _equal_arrays(a: NDArray[Any], b: NDArray[Any]) -> bool:
    return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind in "fc")


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _hash_key(value: object) -> Hashable:
    """Return something hashable that is the same for equal fields."""
    if isinstance(value, np.ndarray):
        array = cast("NDArray[Any]", value)
        return (array.shape, str(array.dtype))
    if isinstance(value, tuple):
        return tuple(_hash_key(part) for part in cast("tuple[object, ...]", value))
    if isinstance(value, Mapping) or _is_nan(value):  # hash(nan) depends on the object
        return None
    return cast("Hashable", value)
