"""Work that depends on the head model alone, done once for each head."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import TypeVar
from weakref import WeakKeyDictionary

from smirk3d.head.model import HeadModel

T = TypeVar("T")


def cache_per_head(make: Callable[[HeadModel], T]) -> Callable[[HeadModel], T]:
    """Decorate a function of a head so that each head instance is worked on once; safe with threads.

    Heads are told apart by identity and held weakly: a head that nobody uses any more takes its results with
    it. So the results must not refer to the head, and, being shared, must not be changed.
    What is changed in a head after the first call is not noticed.

    Args:
        make: A pure function of the head's data.

    Returns:
        A function of the same signature.
    """
    known: WeakKeyDictionary[HeadModel, T] = WeakKeyDictionary()
    lock = threading.RLock()

    @functools.wraps(make)
    def remembered(head: HeadModel) -> T:
        with lock:
            if head not in known:
                known[head] = make(head)
            return known[head]

    return remembered
