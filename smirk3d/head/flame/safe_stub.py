"""Stand-ins for what the pickles of head files refer to: the base class, and those of Python and chumpy.

Nothing of another package is ever instantiated from a file. `smirk3d.head.flame.allowed_names` lists all stand-ins.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from smirk3d.head.flame.bounded_unpickler import checked_items, ordered_dict


class SafeStub:
    """Base class of the stubs.

    Unpickling can set attributes of any object that a name stands for, classes and functions included. A class that
    defines `__setstate__` is protected, so every stub is a class.
    """

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        raise ValueError(f"{type(self).__name__} with a state")


class Chumpy(SafeStub):
    """Any object of chumpy.

    Attributes:
        state: The attributes of the object; its numbers are in the attribute `x`.
    """

    __slots__ = ("state",)

    def __new__(cls, *args: object, **kwargs: object) -> Chumpy:
        """Accept the arguments of the real constructor and ignore them."""
        self = super().__new__(cls)
        self.state = {}
        return self

    def __setstate__(self, state: object) -> None:
        # The state of an object with slots is a pair of dictionaries.
        for part in state if isinstance(state, tuple) else (state,):
            self.state.update(part or {})


class Encode(SafeStub):
    """`_codecs.encode`, with which protocol 2 of Python 3 writes bytes."""

    __slots__ = ()

    def __new__(cls, text: str, encoding: str) -> bytes:  # type: ignore[misc]
        """Make the bytes."""
        if encoding not in ("latin1", "latin-1"):
            raise ValueError(f"bytes as {encoding!r}")
        return text.encode("latin1")


class NoBytes(SafeStub):
    """`bytes`, with which protocol 2 of Python 3 writes empty bytes."""

    __slots__ = ()

    def __new__(cls) -> bytes:  # type: ignore[misc]
        """Make the empty bytes."""
        return b""


class SafeSet(SafeStub):
    """`set`."""

    __slots__ = ()

    def __new__(cls, items: Iterable = ()) -> set:  # type: ignore[misc]
        """Make the set."""
        return set(checked_items(items))


class SafeFrozenSet(SafeStub):
    """`frozenset`."""

    __slots__ = ()

    def __new__(cls, items: Iterable = ()) -> frozenset:  # type: ignore[misc]
        """Make the set."""
        return frozenset(checked_items(items))


class SafeOrderedDict(SafeStub):
    """`collections.OrderedDict`."""

    __slots__ = ()

    def __new__(cls, items: Iterable = ()) -> OrderedDict:  # type: ignore[misc]
        """Make the dictionary."""
        return ordered_dict(items)


class ObjectClass(SafeStub):
    """`object`, to which protocol 0 refers without calling it."""

    __slots__ = ()


class CopyregReconstructor(SafeStub):
    """`copyreg._reconstructor`, with which protocols 0 and 1 create objects."""

    __slots__ = ()

    def __new__(cls, kind: type, *ignored: object) -> object:
        """Make an instance of a stub."""
        if not (isinstance(kind, type) and issubclass(kind, SafeStub)):
            raise ValueError(f"object of class {kind!r}")
        return kind()


def as_bytes(content: object) -> bytes:
    """Return the content of an array; raises `ValueError` where it is none."""
    # Python 2 wrote bytes as text, which is read as latin1.
    if isinstance(content, str):
        return content.encode("latin1")
    if not isinstance(content, bytes | bytearray):
        raise ValueError(f"numbers as {type(content).__name__}")
    return bytes(content)
