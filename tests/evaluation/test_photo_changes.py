from __future__ import annotations

import numpy as np
import pytest

from smirk3d.evaluation.photo_changes import gain_of, photo_changes_result


def test_half_the_change_is_a_gain_of_one_half() -> None:
    made = np.random.default_rng(0).uniform(-1, 1, (200, 52))
    result = photo_changes_result(0.5 * made, made, np.full((200, 52), 0.02))
    values = result.figures
    assert values["gain"] == pytest.approx(0.5) and values["asymmetry_gain"] == pytest.approx(0.5)
    assert values["mean_correlation"] == pytest.approx(1.0) and values["unchanged_mean"] == pytest.approx(0.02)


def test_small_changes_do_not_count_and_unchanged_weights_have_no_gain() -> None:
    made = np.array([[0.1, 0.0], [0.5, 0.0]])
    found = np.array([[0.9, 0.3], [0.25, 0.3]])
    gains = gain_of(found, made)
    assert gains[0] == pytest.approx(0.5) and np.isnan(gains[1])
