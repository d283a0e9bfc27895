from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from smirk3d.geometry.euler import rotation_from_angles
from smirk3d.reenactment.composition import compose
from smirk3d.reenactment.displacement import rest_at_border
from smirk3d.reenactment.face_layers import face_layers
from smirk3d.reenactment.source_photo import SourcePhoto


@pytest.fixture(scope="module")
def source(person: Any) -> SourcePhoto:
    return person.source()


def moved(source: SourcePhoto, weights: dict[str, float], rotation: np.ndarray | None = None) -> np.ndarray:
    rotation = source.face.rotation if rotation is None else rotation
    layers = face_layers(source, source.placed(source.face.with_arkit(weights), rotation))
    return compose(source.pixels, source.region, layers)


def squared_error(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(((found.astype(float) - wanted) ** 2).mean())


@pytest.mark.parametrize(
    ("weights", "share"),
    [
        ({"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0}, 0.5),
        ({"mouthSmileLeft": 1.0, "mouthSmileRight": 1.0}, 0.5),
        ({"browInnerUp": 1.0, "browOuterUpLeft": 1.0}, 0.5),
        # Plain skin shows little of these, and the truth has no shade in the mouth.
        ({"jawLeft": 1.0}, 0.8),
        ({"mouthPucker": 1.0}, 0.8),
    ],
)
def test_a_moved_render_is_nearer_to_the_truth_than_the_copied_source(
    person: Any, source: SourcePhoto, weights: dict[str, float], share: float
) -> None:
    wanted = person.picture(weights)
    assert squared_error(moved(source, weights), wanted) < share * squared_error(source.pixels, wanted)


def test_a_turned_render_is_nearer_to_the_truth_than_the_copied_source(person: Any, source: SourcePhoto) -> None:
    rotation = rotation_from_angles(5, 0, 6) @ person.face.rotation
    wanted = person.picture({}, rotation)
    inner = np.s_[40:120, 40:120]
    found = moved(source, {}, rotation)
    assert squared_error(found[inner], wanted[inner]) < 0.5 * squared_error(source.pixels[inner], wanted[inner])


def test_small_changes_of_the_weights_are_small_changes_of_the_picture(source: SourcePhoto) -> None:
    for weight in (0.0, 0.2, 0.6):
        pictures = [moved(source, {"jawOpen": value, "eyeBlinkLeft": value}) for value in (weight, weight + 0.01)]
        assert np.abs(pictures[0].astype(int) - pictures[1]).mean() < 0.4


def test_everything_rests_at_the_border() -> None:
    factors = rest_at_border(64)
    assert factors[0].max() < 0.2 and factors[:, -1].max() < 0.2 and factors[32, 32] == 1
