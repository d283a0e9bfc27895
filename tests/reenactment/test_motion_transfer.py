from __future__ import annotations

from collections.abc import Callable

import numpy as np

from smirk3d.face import Face
from smirk3d.geometry.euler import angles_from_rotation, rotation_from_angles
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.reenactment.driving import Driving
from smirk3d.reenactment.head_turn import MAX_TURN_DEG
from smirk3d.reenactment.motion_transfer import added_change, neutral_frame, transfer_motion

JAW, SMILE = ARKIT_NAMES.index("jawOpen"), ARKIT_NAMES.index("mouthSmileLeft")


def driving(weights: np.ndarray, angles: list[tuple[float, float, float]] | None = None) -> Driving:
    rotations = None if angles is None else np.stack([rotation_from_angles(*each) for each in angles])
    return Driving("d", weights, rotations, np.arange(len(weights)) / 30, 30.0)


def ramp() -> np.ndarray:
    weights = np.zeros((3, 52))
    weights[:, SMILE] = 0.2  # the rest of this person
    weights[:, JAW] = [0.5, 0.1, 0.9]
    return weights


def test_relative_motion_adds_the_change_from_the_most_neutral_frame(make_face: Callable[..., Face]) -> None:
    face = make_face({"jawOpen": 0.2, "mouthSmileLeft": 0.1})
    motion = transfer_motion(driving(ramp()), face, relative=True)
    assert np.allclose(motion.weights[:, JAW], [0.6, 0.2, 1.0])
    assert np.allclose(motion.weights[:, SMILE], 0.1)
    assert np.allclose(motion.rotations, face.rotation) and not motion.limited.any()


def test_absolute_motion_is_that_of_the_driving(make_face: Callable[..., Face]) -> None:
    motion = transfer_motion(driving(ramp()), make_face({"jawOpen": 0.2}), relative=False)
    assert np.array_equal(motion.weights, ramp())


def test_turns_count_from_the_most_neutral_frame_and_are_limited(make_face: Callable[..., Face]) -> None:
    face = make_face({})
    motion = transfer_motion(driving(ramp(), [(30, 0, 0), (25, 0, 0), (60, 0, 0)]), face, relative=True)
    turns = [angles_from_rotation(each @ face.rotation.T)[0] for each in motion.rotations]
    assert np.allclose(turns, [5, 0, MAX_TURN_DEG[0]], atol=1e-6)
    assert motion.limited.tolist() == [False, False, True]


def test_gaze_crosses_the_middle() -> None:
    own, change = np.zeros(52), np.zeros((1, 52))
    right, left = ARKIT_NAMES.index("eyeLookInLeft"), ARKIT_NAMES.index("eyeLookOutLeft")
    own[right], change[0, right] = 0.1, -0.4
    total = added_change(own, change)[0]
    assert total[right] == 0 and np.isclose(total[left], 0.3)


def test_gaze_does_not_count_as_expression() -> None:
    weights = np.zeros((2, 52))
    weights[0, ARKIT_NAMES.index("eyeLookUpLeft")] = 1
    weights[1, JAW] = 0.1
    assert neutral_frame(weights) == 0
