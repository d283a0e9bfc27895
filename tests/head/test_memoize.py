from __future__ import annotations

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from smirk3d.head.memoize import cache_per_head
from smirk3d.head.model import HeadModel
from smirk3d.render.appearance.materials import vertex_colors


def test_each_head_is_computed_once_also_by_many_threads(tiny_data):
    computed = []

    @cache_per_head
    def work(head: HeadModel) -> int:
        computed.append(id(head))
        return len(computed)

    first, second = HeadModel(tiny_data), HeadModel(tiny_data)
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(work, [first] * 20)) == {1}
    assert work(second) == 2 and work(first) == 1
    assert computed == [id(first), id(second)]


def test_heads_are_not_kept_alive(tiny_data):
    head = HeadModel(tiny_data)
    vertex_colors(head)
    gone = weakref.ref(head)
    del head
    gc.collect()
    assert gone() is None


def test_shared_arrays_cannot_be_changed(open_head):
    colors = vertex_colors(open_head)
    assert colors is vertex_colors(open_head)
    with pytest.raises(ValueError, match="read-only"):
        colors[0] = np.float32(0)
