"""Identifiers of heads: short strings that follow from what a head is made of, the same everywhere.

Results refer to their head by such a string (`HeadModel.id`) instead of holding the module, so that they stay small
and picklable; `smirk3d.head.load.find_head_data` finds the head again.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from smirk3d.head.data import HeadData

HASH_DIGITS = 16
"""Hexadecimal digits of the content hash: 64 bits keep a few thousand heads apart with certainty."""
_SIZES = re.compile(r"(?P<content>.+)-s(?P<n_shape>\d+)-e(?P<n_expression>\d+)", re.DOTALL)
_NOT_CONTENT = frozenset({"meta"})
"""Fields of `HeadData` that describe a head without changing what it computes."""


@dataclass(frozen=True)
class HeadId:
    """A head and how many of its components are in use, written as `open-0123456789abcdef-s100-e52`.

    Attributes:
        content: Name and content hash of the `HeadData`, see `content_id`.
        n_shape: Identity components in use.
        n_expression: Expression components in use.
    """

    content: str
    n_shape: int
    n_expression: int

    def __str__(self) -> str:
        return f"{self.content}-s{self.n_shape}-e{self.n_expression}"

    @staticmethod
    def is_valid(text: str) -> bool:
        """Return whether `parse` accepts a string."""
        return _SIZES.fullmatch(text) is not None

    @classmethod
    def parse(cls, text: str) -> HeadId:
        """Split the string that `str` gives.

        Args:
            text: an identifier of a `HeadModel`.

        Raises:
            ValueError: `text` is no such identifier.
        """
        match = _SIZES.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is no head identifier, such as 'open-0123456789abcdef-s100-e52'")
        return cls(match["content"], int(match["n_shape"]), int(match["n_expression"]))


def content_id(data: HeadData) -> str:
    """Return the head's name and a hash of all its numbers, such as `open-0123456789abcdef`.

    The result depends on the values, shapes and types of the tensors alone, not on the process, the device, the memory
    layout or the order of dictionaries. Takes some 20 ms for the open head.

    Args:
        data: The head, on any device.
    """
    digest = hashlib.sha256()
    for name in sorted(field.name for field in fields(data)):
        if name not in _NOT_CONTENT:
            _update(digest, name, getattr(data, name))
    return f"{data.name}-{digest.hexdigest()[:HASH_DIGITS]}"


def _update(digest: Any, path: str, value: object) -> None:
    """Add a value under its path in the record; a value of None adds nothing, so that optional fields may be added."""
    if isinstance(value, Tensor):
        # Type and shape belong to the content: equal bytes of other types or shapes are another head.
        array = value.detach().cpu().contiguous().numpy()
        digest.update(f"{path}:{array.dtype.str}{array.shape};".encode())
        digest.update(array)
    # Sorted: the order of a dictionary depends on how the head was made or read.
    elif isinstance(value, dict):
        for key in sorted(value):
            _update(digest, f"{path}/{key}", value[key])
    elif is_dataclass(value):
        for field in fields(value):
            _update(digest, f"{path}/{field.name}", getattr(value, field.name))
    elif value is not None:
        digest.update(f"{path}:{value!r};".encode())
