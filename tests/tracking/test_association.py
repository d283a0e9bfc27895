"""Faces keep their numbers from frame to frame, and lose them at cuts."""

import numpy as np

from smirk3d.detection.detector import Detection
from smirk3d.tracking.association import FaceAssociator
from smirk3d.tracking.detection_pass import TrackSelector


def face(x: float, y: float = 100.0, size: float = 60.0) -> Detection:
    box = np.array([x - size / 2, y - size / 2, x + size / 2, y + size / 2], dtype=np.float32)
    return Detection(np.zeros((478, 2)), np.zeros(478), np.zeros(52), box, 1.0)


def test_people_who_pass_each_other_keep_their_numbers() -> None:
    follow = FaceAssociator()
    for k in range(20):
        pair = [face(100 + 10 * k, 80), face(300 - 10 * k, 130)]
        order = [0, 1] if k % 2 else [1, 0]  # the detector's order is not theirs
        numbers = follow(k / 25, [pair[i] for i in order])
        assert [numbers[order.index(i)] for i in (0, 1)] == [1, 0]


def test_a_face_out_of_sight_comes_back_as_itself() -> None:
    follow = FaceAssociator()
    assert follow(0.0, [face(100)]) == [0]
    assert follow(0.04, []) == []
    assert follow(1.0, [face(180)]) == [0]  # out of reach for one frame, not for a second


def test_a_jump_and_another_size_are_somebody_else() -> None:
    follow = FaceAssociator()
    follow(0.0, [face(100)])
    assert follow(0.04, [face(200)]) == [1]
    assert follow(0.08, [face(100, size=150)]) == [2]


def test_a_cut_begins_new_people() -> None:
    follow = FaceAssociator()
    assert follow(0.0, [face(100)]) == [0]
    assert follow(0.04, [face(100)], is_cut=True) == [1]
    assert follow(0.08, [face(100)]) == [1]


def test_who_is_followed() -> None:
    choose = TrackSelector(1)
    assert choose(0.0, [1]) == [1]
    assert choose(0.04, [3, 1, 2]) == [1]  # stays with its person although another is larger now
    assert choose(0.08, [3, 2]) == []  # nobody takes the place of a person who is missed for a moment
    assert choose(0.12, [3, 1]) == [1]
    assert choose(2.0, [3, 2]) == [3]
    assert choose(2.04, [4, 5], is_cut=True) == [4]
    assert TrackSelector(1)(0.0, [3, 1, 2]) == [3] and TrackSelector(None)(0.0, [3, 1, 2]) == [3, 1, 2]
    pair = TrackSelector(2)
    assert pair(0.0, [1]) == [1] and pair(0.04, [3, 2]) == [3] and pair(2.0, [3, 2]) == [3, 2]
