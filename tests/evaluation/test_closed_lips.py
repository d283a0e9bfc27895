"""Openings of lips in photos and of the meshes."""

from dataclasses import replace

import numpy as np
import pytest
from evaluation_faces import FakeMethod, Silent, brightness_of_sides, photo_set

from smirk3d.evaluation.closed_lips import MIDDLE_OF_LIPS, lip_openings_px, measure_closed_lips
from smirk3d.evaluation.photos import PhotoSet
from smirk3d.evaluation.result import MeasureNotApplicableError

UPPER, LOWER = MIDDLE_OF_LIPS


class _OpensLips(FakeMethod):
    """Predicts the detected landmarks with lips that are so far open, in pixels."""

    def __init__(self, openings_px: list[float]) -> None:
        super().__init__(brightness_of_sides)
        self._openings_px = iter(openings_px)

    def landmarks_px(self, observations):
        points = super().landmarks_px(observations)
        for row in points:
            row[LOWER] = row[UPPER] + [0, next(self._openings_px)]
        return points


def _photos(openings_px: list[float]) -> PhotoSet:
    records = []
    for record, opening_px in zip(photo_set(len(openings_px)).records, openings_px, strict=True):
        points = record.landmarks_px.copy()
        points[263] = points[33] + [100, 0]
        points[LOWER] = points[UPPER] + [0, opening_px]
        records.append(replace(record, landmarks_px=points))
    return PhotoSet(tuple(records))


def test_only_photos_with_closed_lips_count():
    result = measure_closed_lips(_OpensLips([0, 50, 5, 1]), _photos([0, 10, 1, 1.5]), Silent())
    assert result.faces == 4 and result.figures["closed_photos"] == 3
    assert result.figures["closed_share"] == pytest.approx(2 / 3)
    assert result.figures["median_opening"] == pytest.approx(0.01, abs=1e-4)


def test_openings_are_distances():
    points = np.zeros((1, 478, 2))
    points[0, UPPER] = [3, 4]
    assert lip_openings_px(points) == pytest.approx(5)


def test_without_closed_lips_there_is_nothing_to_measure():
    with pytest.raises(MeasureNotApplicableError, match="closed"):
        measure_closed_lips(_OpensLips([0, 0]), _photos([30, 30]), Silent())
