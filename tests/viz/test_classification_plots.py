"""Plots of classifiers, checked on the pixels."""

from __future__ import annotations

import numpy as np

from smirk3d.viz.classification_plots import draw_confusion, draw_reliability


def test_a_right_classifier_has_a_dark_diagonal() -> None:
    picture = draw_confusion(("a", "b"), np.array([[9, 0], [0, 4]]), "t", "d", (640, 500))
    assert picture.shape == (500, 640, 3) and picture.dtype == np.uint8
    inside = picture[70:430, 100:600].mean(axis=2)
    rows, columns = np.array_split(np.arange(360), 2), np.array_split(np.arange(500), 2)
    shade = [[np.median(inside[np.ix_(row, column)]) for column in columns] for row in rows]
    assert max(shade[0][0], shade[1][1]) < 100 < 200 < min(shade[0][1], shade[1][0])


def test_bars_are_as_high_as_the_accuracy() -> None:
    probabilities = np.tile([0.95, 0.05], (40, 1))
    low, high = (
        draw_reliability(probabilities, np.arange(40) % 10 < 10 - right, "t", "d", (640, 400)) for right in (2, 8)
    )
    blue = np.array([0x42, 0x78, 0xC4])
    area = [(np.abs(picture.astype(int) - blue).max(axis=2) < 4).sum() for picture in (low, high)]
    assert 2.5 < area[1] / area[0] < 4.5
