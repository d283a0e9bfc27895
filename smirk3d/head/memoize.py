"""Results that depend on the head model alone, computed once for each head."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import TypeVar
from weakref import WeakKeyDictionary

from smirk3d.head.model import HeadModel

T = TypeVar("T")


def cache_per_head(compute: Callable[[HeadModel], T]) -> Callable[[HeadModel], T]:
    """Decorate a function of a head so that it is computed once for each head instance; thread-safe.

    Heads are distinguished by identity and referenced weakly: results are freed together with their head. Therefore a
    result must not refer to the head, and, as it is shared, must not be modified. Changes of a head after the first
    call are not noticed.

    Args:
        compute: A pure function of the head's data.

    Returns:
        A function of the same signature.
    """
    cache: WeakKeyDictionary[HeadModel, T] = WeakKeyDictionary()
    # Reentrant, because a cached function may call itself for another head.
    lock = threading.RLock()

    @functools.wraps(compute)
    def cached(head: HeadModel) -> T:
        with lock:
            if head not in cache:
                cache[head] = compute(head)
            return cache[head]

    return cached
