"""Rendered training data that are kept between runs, in the cache or in a folder of the user."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Protocol, TypeVar

from smirk3d.assets import cache_dir, check_writable, make_folder, warn_of_cache
from smirk3d.datasets.prepared_cache import locked
from smirk3d.errors import Smirk3dError

_log = logging.getLogger(__name__)


class RenderedData(Protocol):
    """Images that are rendered where their folder does not have them."""

    def __len__(self) -> int:
        """Return their number."""
        ...

    def prepare(self) -> Iterable[int]:
        """Render what is missing; yields how many there are so far."""
        ...


_Data = TypeVar("_Data", bound=RenderedData)


def renderings_folder(path: Path | None) -> Path | None:
    """Return the folder in which renderings are kept: that of the user, or one in the cache.

    Args:
        path: Folder of the user; None: in the cache.

    Returns:
        The folder; None, for renderings in memory, where the cache cannot be written.
    """
    if path is not None:
        return path
    folder = cache_dir() / "rendered"
    try:
        make_folder(folder)
        check_writable(folder / ".lock")
    except Smirk3dError as error:
        warn_of_cache(error)
        return None
    return folder


def prepared_renderings(data: _Data, folder: Path | None, name: str) -> _Data:
    """Return data after rendering what is missing, with other runs kept out of the folder meanwhile.

    Args:
        data: The data.
        folder: Where they are kept; None: in memory.
        name: What they are called in the log.
    """
    with nullcontext() if folder is None else locked(folder):
        for count in data.prepare():
            _log.info("%s: %d of %d", name, count, len(data))
    return data
