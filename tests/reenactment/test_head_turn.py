from __future__ import annotations

import numpy as np

from smirk3d.geometry.euler import angles_from_rotation, rotation_from_angles
from smirk3d.reenactment.head_turn import MAX_TURN_DEG, limited_rotation

PHOTO = rotation_from_angles(20, -5, 3)


def test_small_turns_stay() -> None:
    wanted = rotation_from_angles(5, 4, -9) @ PHOTO
    found, is_limited = limited_rotation(wanted, PHOTO)
    assert not is_limited and np.array_equal(found, wanted)


def test_large_turns_are_limited() -> None:
    found, is_limited = limited_rotation(rotation_from_angles(60, -50, 40) @ PHOTO, PHOTO)
    assert is_limited
    assert np.allclose(np.abs(angles_from_rotation(found @ PHOTO.T)), MAX_TURN_DEG, atol=1e-6)
