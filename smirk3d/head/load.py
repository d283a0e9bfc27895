"""Reading heads that exist as packs: the packaged open head, and any head by its identifier.

`smirk3d.authoring.load.load_head` is the public function; it also reads FLAME models and packs by path.
"""

from __future__ import annotations

from pathlib import Path

from smirk3d.assets import cache_dir, checksum_matches
from smirk3d.errors import Smirk3dError
from smirk3d.head.data import HeadData
from smirk3d.head.identifier import HeadId
from smirk3d.head.model import HeadModel
from smirk3d.head.pack import load_pack, read_content_id
from smirk3d.zoo.registry import find

OPEN_HEAD = "open"
"""The name by which the packaged open head is loaded."""


def open_head_data() -> HeadData:
    """Read the packaged open head.

    Raises:
        Smirk3dError: The file is missing or damaged.
    """
    return load_pack(find("open_head"))


def load_open_head(n_shape: int | None = None, n_expression: int | None = None) -> HeadModel:
    """Load the packaged open head.

    Args:
        n_shape: Number of identity components to use, all 100 by default.
        n_expression: Number of expression components to use, all 52 by default.

    Raises:
        Smirk3dError: The file is missing or damaged.
        ValueError: The head has fewer components.
    """
    return HeadModel(open_head_data(), n_shape, n_expression)


def heads_cache_dir() -> Path:
    """Return the folder of the heads that took time to make; it may not exist yet."""
    return cache_dir() / "heads"


def find_head_data(head_id: str) -> HeadData | None:
    """Find the data of a head by its identifier: in the package, then among the packs in the cache.

    Args:
        head_id: `HeadModel.id` or `HeadData.content_id`; numbers of components are ignored.

    Returns:
        The head with all its components, or None where there is no such pack. Unreadable and changed packs are ignored.
    """
    wanted = HeadId.parse(head_id).content if HeadId.is_valid(head_id) else head_id
    for path in (find("open_head"), *sorted(heads_cache_dir().glob("*.pack"))):
        try:
            if checksum_matches(path) is False:
                continue
            if read_content_id(path) == wanted:
                return load_pack(path)
        except Smirk3dError:
            continue
    return None
