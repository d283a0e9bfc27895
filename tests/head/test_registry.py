"""Heads are found by their identifiers."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from smirk3d.errors import Smirk3dError
from smirk3d.head import registry
from smirk3d.head.data import HeadData
from smirk3d.head.model import HeadModel


@pytest.fixture
def own_data(tiny_data: HeadData) -> HeadData:
    """A head that no other test registers."""
    return replace(tiny_data, v_template=tiny_data.v_template + 1)


def test_a_registered_head_is_found_itself(own_data: HeadData) -> None:
    head = HeadModel(own_data)
    assert registry.register(head) == head.id and registry.find(head.id) is head


def test_the_head_registered_last_is_found(own_data: HeadData) -> None:
    first, second = HeadModel(own_data), HeadModel(own_data)
    assert registry.register(first) == registry.register(second)
    assert registry.find(first.id) is second


def test_heads_of_other_sizes_are_made_from_a_registered_one(own_data: HeadData) -> None:
    registry.register(HeadModel(own_data))
    small = HeadModel(own_data, n_shape=2, n_expression=1)
    found = registry.find(small.id)
    assert found.id == small.id and found.n_shape == 2 and found.n_expression == 1
    assert torch.equal(found.shapedirs, small.shapedirs) and registry.find(small.id) is found


def test_an_unknown_head_names_the_remedy(own_data: HeadData) -> None:
    unknown = HeadModel(replace(own_data, v_template=own_data.v_template + 1)).id
    with pytest.raises(
        Smirk3dError, match=rf"head '{unknown}' is not known here; load it first with load_head\(path\)"
    ):
        registry.find(unknown)
    with pytest.raises(Smirk3dError, match="head 'nonsense' is not known here"):
        registry.find("nonsense")
