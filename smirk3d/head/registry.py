"""Heads by their identifier, so that results can refer to a head without holding it."""

from __future__ import annotations

import threading

from smirk3d.errors import Smirk3dError
from smirk3d.head.data import HeadData
from smirk3d.head.identifier import HeadId
from smirk3d.head.load import find_head_data
from smirk3d.head.model import HeadModel

_heads: dict[str, HeadModel] = {}
_lock = threading.RLock()


def register(head: HeadModel) -> str:
    """Make a head known in this process under its identifier, and return that.

    The head is kept until another one with the same identifier is registered, which takes its place: the two have
    the same numbers, perhaps on different devices.
    """
    with _lock:
        _heads[head.id] = head
    return head.id


def find(head_id: str) -> HeadModel:
    """Return the head with an identifier.

    It is the one registered last in this process; or else one that is made on the CPU, from the data of a registered
    head with other numbers of components, of the packaged open head or of a head in the cache.

    Args:
        head_id: As `HeadModel.id` gives it.

    Raises:
        Smirk3dError: There is no such head.
    """
    with _lock:
        if head_id not in _heads:
            _heads[head_id] = _make(head_id)
        return _heads[head_id]


def _make(head_id: str) -> HeadModel:
    wanted = HeadId.parse(head_id) if HeadId.is_valid(head_id) else None
    data = None if wanted is None else _registered_data(wanted.content) or find_head_data(head_id)
    if wanted is None or data is None:
        raise Smirk3dError(f"the head {head_id!r} is not known here; load it first with load_head(path)")
    return HeadModel(data, wanted.n_shape, wanted.n_expression)


def _registered_data(content_id: str) -> HeadData | None:
    """Return the data of a registered head, whatever its numbers of components."""
    return next((head.data for head in _heads.values() if head.data.content_id == content_id), None)
