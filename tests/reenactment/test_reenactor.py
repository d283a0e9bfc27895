from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from skimage.data import astronaut

from smirk3d.errors import InvalidOptionError, NoFaceError
from smirk3d.geometry.euler import angles_from_rotation, rotation_from_angles
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.reenactment.reenactor import Reenactor

Scores = Callable[[np.ndarray], dict[str, float]]


def test_the_photos_own_weights_leave_the_photo(reenactor: Reenactor) -> None:
    own = reenactor.source.face.arkit
    for weights in (own, np.array([own[name] for name in ARKIT_NAMES])):
        result = reenactor(weights)
        assert result.dtype == np.uint8 and np.array_equal(result, reenactor.source.pixels)


def test_pixels_outside_the_region_stay(reenactor: Reenactor) -> None:
    source = reenactor.source
    result = reenactor({"jawOpen": 1.0, "browInnerUp": 1.0}, rotation_from_angles(20, 20, 20))
    outside = np.ones(result.shape[:2], bool)
    region = source.region
    outside[max(region.y0, 0) : region.y0 + region.side_px, max(region.x0, 0) : region.x0 + region.side_px] = False
    assert np.array_equal(result[outside], source.pixels[outside])
    assert not np.array_equal(result, source.pixels)


@pytest.mark.parametrize(
    ("weights", "action"),
    [
        ({"jawOpen": 0.8}, "jawOpen"),
        ({"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0}, "eyeBlinkLeft"),
        ({"mouthPucker": 1.0}, "mouthPucker"),
    ],
)
def test_another_detector_reads_the_expression(
    reenactor: Reenactor, scores: Scores, weights: dict[str, float], action: str
) -> None:
    assert scores(reenactor(weights))[action] > scores(reenactor.source.pixels)[action] + 0.3


def test_one_eye_closes_alone(reenactor: Reenactor, scores: Scores) -> None:
    source = reenactor.source
    changed = (reenactor({**source.face.arkit, "eyeBlinkLeft": 1.0}) != source.pixels).any(axis=2)
    right_eye, left_eye = source.face.landmarks("mediapipe")[[33, 263]].round().astype(int)
    assert changed[left_eye[1] - 6 : left_eye[1] + 6, left_eye[0] - 20 : left_eye[0]].mean() > 0.5
    assert changed[right_eye[1] - 6 : right_eye[1] + 6, right_eye[0] : right_eye[0] + 12].mean() < 0.2


def test_the_head_turns_as_asked_within_the_limits(reenactor: Reenactor) -> None:
    source = reenactor.source
    wanted = rotation_from_angles(0, 0, 10) @ source.face.rotation
    turned = Reenactor(reenactor(source.face.arkit, wanted)).source.face
    assert abs(turned.angles_deg[2] - angles_from_rotation(wanted)[2]) < 3


def test_errors_name_the_cause(reenactor: Reenactor) -> None:
    with pytest.raises(ValueError, match="52 weights"):
        reenactor(np.zeros(51))
    with pytest.raises(ValueError, match="unknown: nonsense"):
        reenactor({"nonsense": 1.0})
    with pytest.raises(InvalidOptionError, match="at least one photo"):
        Reenactor([])
    with pytest.raises(InvalidOptionError, match="mesh, transformer"):
        Reenactor(astronaut(), engine="magic")  # type: ignore[arg-type]
    with pytest.raises(NoFaceError, match="no face found"):
        Reenactor(np.zeros((100, 100, 3), np.uint8))


def test_photos_are_reduced_never_enlarged() -> None:
    assert max(Reenactor(astronaut(), max_side_px=256)({}).shape) == 256
