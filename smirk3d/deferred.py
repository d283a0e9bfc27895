"""A value that is computed at its first use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Deferred(Generic[T]):
    """A value that is computed at its first use, and then kept.

    It is equal to others with an equal value. Comparing, hashing, copying and pickling compute it.

    Args:
        compute: Returns the value; it is forgotten afterwards, with all that it holds.
    """

    def __init__(self, compute: Callable[[], T]) -> None:
        self._compute: Callable[[], T] | None = compute
        self._value: T | None = None

    @property
    def value(self) -> T:
        """The value."""
        compute = self._compute
        if compute is not None:
            self._value = compute()
            self._compute = None  # after the value, for other threads
        return self._value  # type: ignore[return-value]

    def __eq__(self, other: object) -> bool:
        return self.value == other.value if isinstance(other, Deferred) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.value)

    def __reduce__(self) -> tuple[Callable[[T], Deferred[T]], tuple[T]]:
        return computed, (self.value,)


def computed(value: T) -> Deferred[T]:
    """Return a deferred value that is known already."""
    made = Deferred(lambda: value)
    made.value  # noqa: B018 - keeps the value in place of the function
    return made
