"""Data association: persons keep their numbers from frame to frame, and cuts start new ones."""

import numpy as np

from smirk3d.detection.detector import Detection
from smirk3d.tracking.association import FaceAssociator
from smirk3d.tracking.detection_pass import TrackSelector


def face(x: float, y: float = 100.0, size: float = 60.0) -> Detection:
    box = np.array([x - size / 2, y - size / 2, x + size / 2, y + size / 2], dtype=np.float32)
    return Detection(np.zeros((478, 2)), np.zeros(478), np.zeros(52), box, 1.0)


def test_persons_who_cross_keep_their_numbers() -> None:
    associate = FaceAssociator()
    for k in range(20):
        pair = [face(100 + 10 * k, 80), face(300 - 10 * k, 130)]
        order = [0, 1] if k % 2 else [1, 0]  # the order of the detections is arbitrary
        numbers = associate(k / 25, [pair[i] for i in order])
        assert [numbers[order.index(i)] for i in (0, 1)] == [1, 0]


def test_person_is_recognised_after_a_gap() -> None:
    associate = FaceAssociator()
    assert associate(0.0, [face(100)]) == [0]
    assert associate(0.04, []) == []
    assert associate(1.0, [face(180)]) == [0]  # outside the gate of one frame, inside that of a second


def test_large_displacement_or_change_of_size_starts_a_new_person() -> None:
    associate = FaceAssociator()
    associate(0.0, [face(100)])
    assert associate(0.04, [face(200)]) == [1]
    assert associate(0.08, [face(100, size=150)]) == [2]


def test_cut_starts_new_persons() -> None:
    associate = FaceAssociator()
    assert associate(0.0, [face(100)]) == [0]
    assert associate(0.04, [face(100)], is_cut=True) == [1]
    assert associate(0.08, [face(100)]) == [1]


def test_persons_tracked_first_keep_their_place() -> None:
    select = TrackSelector(1)
    assert select(0.0, [1]) == [1]
    assert select(0.04, [3, 1, 2]) == [1]  # a tracked person is kept although another face is larger
    assert select(0.08, [3, 2]) == []  # a person who is undetected for a moment keeps the place
    assert select(0.12, [3, 1]) == [1]
    assert select(2.0, [3, 2]) == [3]
    assert select(2.04, [4, 5], is_cut=True) == [4]
    assert TrackSelector(1)(0.0, [3, 1, 2]) == [3] and TrackSelector(None)(0.0, [3, 1, 2]) == [3, 1, 2]
    pair = TrackSelector(2)
    assert pair(0.0, [1]) == [1] and pair(0.04, [3, 2]) == [3] and pair(2.0, [3, 2]) == [3, 2]
