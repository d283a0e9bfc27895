"""Action units from ARKit weights."""

from __future__ import annotations

import pytest

from smirk3d.fer.action_units import ACTION_UNITS, MIDDLE_UNITS, SIDED_UNITS, action_units
from smirk3d.head.arkit import ARKIT_NAMES, mirror_name

NEUTRAL = dict.fromkeys(ARKIT_NAMES, 0.0)


def test_all_blendshapes_of_the_table_exist() -> None:
    assert {f"{name}{side}" for name in SIDED_UNITS.values() for side in ("Left", "Right")} <= set(ARKIT_NAMES)
    assert {name for names in MIDDLE_UNITS.values() for name in names} <= set(ARKIT_NAMES)


def test_a_neutral_face_has_none_and_the_columns_are_in_order() -> None:
    units = action_units(NEUTRAL)
    assert tuple(units) == ACTION_UNITS and set(units.values()) == {0.0}


def test_a_smile_on_one_side() -> None:
    units = action_units(NEUTRAL | {"mouthSmileLeft": 0.8, "mouthSmileRight": 0.1})
    assert (units["AU12"], units["AU12_left"], units["AU12_right"]) == (0.8, 0.8, 0.1)


def test_lips_part_only_where_they_do_not_close() -> None:
    assert action_units(NEUTRAL | {"jawOpen": 0.6})["AU25"] == pytest.approx(0.6)
    closed = action_units(NEUTRAL | {"jawOpen": 0.6, "mouthClose": 0.6})
    assert closed["AU25"] == 0.0 and closed["AU26"] == pytest.approx(0.6)


def test_mirrored_weights_exchange_the_sides_alone() -> None:
    weights = {name: k / 60 for k, name in enumerate(ARKIT_NAMES)}
    own = action_units(weights)
    mirrored = action_units({name: weights[mirror_name(name)] for name in ARKIT_NAMES})
    for name in ACTION_UNITS:
        partner = name.replace("_left", "_?").replace("_right", "_left").replace("_?", "_right")
        assert mirrored[name] == pytest.approx(own[partner])


def test_values_stay_in_their_range_and_missing_weights_are_errors() -> None:
    assert action_units(NEUTRAL | {"jawOpen": 1.7})["AU26"] == 1.0
    with pytest.raises(KeyError):
        action_units({})
