"""Calibration of weights to a person's neutral face and closed eyes."""

from __future__ import annotations

import numpy as np

from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.tracking.neutral_calibration import neutral_calibrated

BLINK = ARKIT_NAMES.index("eyeBlinkLeft")
SMILE = ARKIT_NAMES.index("mouthSmileLeft")


def test_neutral_face_becomes_0_and_closed_eyes_become_1() -> None:
    weights = np.zeros((200, 52))
    weights[:, SMILE] = 0.15
    weights[150:170, SMILE] = 0.9
    weights[:, BLINK] = 0.1
    for k in range(20, 200, 40):
        weights[k - 1 : k + 2, BLINK] = (0.4, 0.7, 0.4)
    assert neutral_calibrated(weights, "none") is weights
    neutral, full_range = neutral_calibrated(weights, "neutral"), neutral_calibrated(weights, "range")
    assert np.allclose(neutral[:100, SMILE], 0) and 0.85 < neutral[160, SMILE] <= 0.9
    assert np.allclose(full_range[20::40, BLINK], 1) and full_range[10, BLINK] == 0
    np.testing.assert_array_equal(full_range[:, SMILE], neutral[:, SMILE])
    assert neutral.min() >= 0 and full_range.max() <= 1


def test_eyes_that_never_close_are_not_stretched() -> None:
    weights = np.zeros((100, 52))
    weights[:, BLINK] = 0.1 + 0.1 * np.sin(np.arange(100))
    assert neutral_calibrated(weights, "range")[:, BLINK].max() < 0.25
    assert len(neutral_calibrated(np.zeros((0, 52)), "range")) == 0


def test_the_most_neutral_frames_show_the_rest_of_lids_brows_and_mouth() -> None:
    weights = np.zeros((100, 52))
    weights[:, BLINK] = 0.2
    weights[:, ARKIT_NAMES.index("jawOpen")] = 0.1
    weights[40:, SMILE] = 0.8
    found = neutral_calibrated(weights, "rest")
    assert np.abs(found[:, BLINK]).max() < 1e-9 and np.allclose(found[40:, SMILE], 0.8)
    np.testing.assert_array_equal(found[:, ARKIT_NAMES.index("jawOpen")], 0.1)
