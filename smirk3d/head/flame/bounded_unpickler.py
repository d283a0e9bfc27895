"""Unpickling in time and memory that grow no faster than the file.

Python's fast reader allocates a table as long as the largest index that a file names, and hashes whatever a file uses
as a key: a tuple of tuples of tuples, each ten times the one before, takes for ever. The reader here is Python's slow
one, with keys restricted to short values. Neither is safe by itself: subclasses restrict `find_class`.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, ClassVar

MAX_KEY_LENGTH = 4096
_MAX_KEY_ITEMS = 16
_MAX_INTEGER = 1 << 53


def check_key(key: object) -> None:
    """Raise where a value is no key of a dictionary, or element of a set, in files of this kind.

    Args:
        key: The value.

    Raises:
        ValueError: It is a long or nested tuple, a set, a long text, or a huge number.
    """
    if isinstance(key, (tuple, frozenset)):
        if (
            isinstance(key, frozenset)
            or len(key) > _MAX_KEY_ITEMS
            or any(isinstance(k, (tuple, frozenset)) for k in key)
        ):
            raise ValueError("a nested tuple as a key")
        for item in key:
            check_key(item)
    elif isinstance(key, (str, bytes)) and len(key) > MAX_KEY_LENGTH:
        raise ValueError(f"a key of {len(key)} letters")
    elif isinstance(key, int) and abs(key) > _MAX_INTEGER:
        raise ValueError("a huge number as a key")


class BoundedUnpickler(pickle._Unpickler):  # type: ignore[name-defined]  # the reader that can be restricted
    """Python's own reader, with restricted keys."""

    stack: list[Any]
    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)  # type: ignore[attr-defined]

    def load_frame(self) -> None:
        """Pass over the size of a frame, which only says how much could be read at once."""
        self.read(8)  # type: ignore[attr-defined]

    def load_dict(self) -> None:
        """Make a dictionary of the values above the mark."""
        items = self.pop_mark()  # type: ignore[attr-defined]
        for key in items[::2]:
            check_key(key)
        self.append({items[k]: items[k + 1] for k in range(0, len(items), 2)})  # type: ignore[attr-defined]

    def load_setitem(self) -> None:
        """Set an entry."""
        check_key(self.stack[-2])
        super().load_setitem()  # type: ignore[misc]

    def load_setitems(self) -> None:
        """Set the entries above the mark."""
        for key in self.stack[::2]:
            check_key(key)
        super().load_setitems()  # type: ignore[misc]

    def load_additems(self) -> None:
        """Add the elements above the mark to a set."""
        for item in self.stack:
            check_key(item)
        super().load_additems()  # type: ignore[misc]

    def load_frozenset(self) -> None:
        """Make a set of the elements above the mark."""
        for item in self.stack:
            check_key(item)
        super().load_frozenset()  # type: ignore[misc]


for _opcode in ("FRAME", "DICT", "SETITEM", "SETITEMS", "ADDITEMS", "FROZENSET"):
    BoundedUnpickler.dispatch[getattr(pickle, _opcode)[0]] = getattr(BoundedUnpickler, f"load_{_opcode.lower()}")


def ordered_dict(items: Iterable = ()) -> OrderedDict:
    """Make an ordered dictionary of pairs with checked keys."""
    pairs = [tuple(pair) for pair in items]
    for key, _ in pairs:
        check_key(key)
    return OrderedDict(pairs)


def checked_items(items: Iterable) -> list:
    """Return the elements of a set, checked."""
    listed = list(items)
    for item in listed:
        check_key(item)
    return listed
