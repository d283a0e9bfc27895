"""Networks that are read once from their files, and again when a file has changed."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

_MAX_KEPT = 2
Loaded = TypeVar("Loaded")


def cached_by_files(load: Callable[..., Loaded]) -> Callable[..., Loaded]:
    """Decorate a function of paths so that its last results are kept while the files stay as they are.

    A network that is trained anew in the same process, to the same path, is therefore read anew.

    Args:
        load: A function of paths, or None for packaged files, which do not change.
    """

    @functools.lru_cache(_MAX_KEPT)
    def kept(paths: tuple[Path | None, ...], states: tuple[tuple[int, int] | None, ...]) -> Loaded:
        return load(*paths)

    @functools.wraps(load)
    def current(*paths: Path | None) -> Loaded:
        return kept(paths, tuple(map(_state, paths)))

    return current


def _state(path: Path | None) -> tuple[int, int] | None:
    """Return time of change and size of a file; None where there is none, which its reader reports."""
    try:
        status = None if path is None else path.stat()
    except OSError:
        return None
    return None if status is None else (status.st_mtime_ns, status.st_size)
