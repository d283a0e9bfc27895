"""Keyframes for the identity: nearly neutral faces in all views."""

from __future__ import annotations

import numpy as np
import pytest

from smirk3d.estimation.keyframes import MAX_KEYFRAMES, select_neutral_keyframes, thinned


def test_the_most_neutral_frames_of_every_view() -> None:
    angles = np.zeros((60, 3))
    angles[:, 0] = np.repeat([-30, 0, 30], 20)
    activity = np.tile(np.arange(20)[::-1], 3).astype(float)
    chosen = select_neutral_keyframes(angles, activity)
    assert sorted(chosen) == [*range(16, 20), *range(36, 40), *range(56, 60)]


def test_many_views_share_a_limited_number_of_keyframes() -> None:
    yaw = np.repeat(np.arange(-90, 100, 10), 5)
    angles = np.stack([yaw, 0 * yaw, 0 * yaw], axis=1).astype(float)
    chosen = select_neutral_keyframes(angles, np.tile(np.arange(5.0), 19))
    assert len(chosen) == MAX_KEYFRAMES and set(yaw[chosen]) == set(yaw)


@pytest.mark.parametrize("count", [1, 7, 8, 15, 16, 1000])
def test_thinned_rows_are_spread_evenly(count: int) -> None:
    rows = np.arange(count)[thinned(count, limit=8)]
    assert rows[0] == 0 and min(count, 8) <= len(rows) < 16
    assert len(set(np.diff(rows))) <= 1
