from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.reenactment.action_sheet import COLUMNS, action_sheet
from smirk3d.reenactment.region import Region


class _Person:
    """Stands for a `Reenactor`, and keeps what it is asked for."""

    def __init__(self) -> None:
        face = SimpleNamespace(arkit={"jawOpen": 0.1})
        self.source = SimpleNamespace(
            pixels=np.zeros((60, 60, 3), np.uint8), region=Region(-20, -20, 100, 100), face=face
        )
        self.asked: list[dict[str, float]] = []

    def __call__(self, weights: dict[str, float]) -> np.ndarray:
        self.asked.append(weights)
        return self.source.pixels


def test_each_action_is_added_to_the_photos_expression() -> None:
    person, counted = _Person(), []
    sheet = action_sheet(cast(Any, person), 32, lambda: counted.append(1))
    assert len(person.asked) == len(counted) == len(ARKIT_NAMES)
    for name, weights in zip(ARKIT_NAMES, person.asked, strict=True):
        assert weights[name] == 1
    assert person.asked[0]["jawOpen"] == 0.1
    assert person.asked[ARKIT_NAMES.index("mouthClose")]["jawOpen"] == 1  # lips of a closed jaw cannot close more
    assert sheet.shape[1] == 32 * COLUMNS
