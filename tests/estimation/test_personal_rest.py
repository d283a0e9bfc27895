"""The resting face: what counts as rest, and that it is taken off."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from smirk3d.estimation.estimator import HeadEstimates
from smirk3d.estimation.personal_rest import (
    MAX_REST,
    RestCorrectedEstimator,
    has_arkit_weights,
    may_be_neutral,
    resting_weights,
    without_rest,
)
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.params import FaceParams

BLINK, JAW, SMILE = (ARKIT_NAMES.index(name) for name in ("eyeBlinkLeft", "jawOpen", "mouthSmileLeft"))


def faces(*rows: dict[int, float]) -> np.ndarray:
    weights = np.zeros((len(rows), 52))
    for row, values in zip(weights, rows):
        for column, value in values.items():
            row[column] = value
    return weights


def test_rest_becomes_0_and_1_stays_1() -> None:
    rest = faces({BLINK: 0.25})[0]
    found = without_rest(faces({BLINK: 0.25}, {BLINK: 1.0}, {BLINK: 0.1, SMILE: 0.5}), rest)
    assert found[:, BLINK].tolist() == [0, 1, 0] and found[2, SMILE] == 0.5


def test_the_most_neutral_face_shows_the_rest_and_strong_or_held_expressions_do_not() -> None:
    rest = resting_weights(faces({BLINK: 0.2, JAW: 0.1}, {BLINK: 0.3, SMILE: 0.6}, {SMILE: 0.9}))
    assert rest[BLINK] == pytest.approx(0.2) and rest[JAW] == 0 and rest[SMILE] == 0
    assert resting_weights(faces({SMILE: 0.6}))[SMILE] == MAX_REST
    assert not resting_weights(faces({JAW: 0.8}, {SMILE: 0.9})).any() and not resting_weights(np.zeros((0, 52))).any()
    assert may_be_neutral(faces({BLINK: 0.3})[0]) and not may_be_neutral(faces({JAW: 0.6})[0])


@dataclass
class Fixed:
    """An estimator that finds given weights."""

    weights: np.ndarray
    params: FaceParams | None = None
    head = SimpleNamespace(expression_names=ARKIT_NAMES)
    method = "refine"
    dtype = np.dtype("f4")

    def solve(self, records, intrinsics, identity=None, person=None) -> HeadEstimates:
        return HeadEstimates(None, torch.from_numpy(self.weights).float(), None, None, self.params)  # type: ignore[arg-type]


def test_a_given_rest_is_taken_off_every_face() -> None:
    weights = faces({BLINK: 0.4}, {SMILE: 0.8})
    native = FaceParams(expression=torch.from_numpy(weights).float())
    rested = RestCorrectedEstimator(Fixed(weights, native), faces({BLINK: 0.4})[0])  # type: ignore[arg-type]
    found = rested.solve(np.zeros(2), None)  # type: ignore[arg-type]
    assert found.arkit[0].abs().max() < 1e-6 and found.arkit[1, SMILE] == pytest.approx(0.8)
    assert found.params is not None and found.params.expression is not None
    assert found.params.expression.equal(found.arkit)


def test_the_rest_of_an_album_is_found_by_person_and_single_photos_are_left_alone() -> None:
    weights = faces({BLINK: 0.2}, {BLINK: 0.2, SMILE: 0.6}, {BLINK: 0.3})
    rested = RestCorrectedEstimator(Fixed(weights))  # type: ignore[arg-type]
    album = rested.solve(np.zeros(3), None, person=np.array([0, 0, 1])).arkit.numpy()  # type: ignore[arg-type]
    np.testing.assert_allclose(album[:, BLINK], [0, 0, 0.3], atol=1e-6)
    assert album[1, SMILE] == pytest.approx(0.6)
    np.testing.assert_allclose(rested.solve(np.zeros(3), None).arkit.numpy(), weights, atol=1e-6)  # type: ignore[arg-type]


def test_methods_without_arkit_weights_are_known(open_head) -> None:
    assert has_arkit_weights(SimpleNamespace(method="fit", head=open_head))  # type: ignore[arg-type]
    assert has_arkit_weights(SimpleNamespace(method="encoder", head=open_head))  # type: ignore[arg-type]
