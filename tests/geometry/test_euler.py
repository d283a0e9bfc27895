"""Yaw, pitch and roll: signs, and round trips."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from smirk3d.geometry.euler import angles_from_rotation, rotation_from_angles

NOSE, CROWN = np.array([0.0, 0.0, 1.0]), np.array([0.0, 1.0, 0.0])


def test_each_angle_has_the_documented_sign():
    # Camera frame: +X right in the image, +Y up; the subject's left is on the right of the image.
    assert (rotation_from_angles(30, 0, 0) @ NOSE)[0] == pytest.approx(0.5)
    assert (rotation_from_angles(0, 30, 0) @ NOSE)[1] == pytest.approx(0.5)
    assert (rotation_from_angles(0, 0, 30) @ CROWN)[0] == pytest.approx(0.5)  # clockwise in the image


def test_roll_comes_first_then_pitch_then_yaw():
    expected = Rotation.from_euler("ZXY", [-7, -20, 35], degrees=True)
    extrinsic = Rotation.from_euler("zxy", [-7, -20, 35], degrees=True)
    found = rotation_from_angles(35, 20, 7)
    np.testing.assert_allclose(found, extrinsic.as_matrix(), atol=1e-12)
    assert np.abs(found - expected.as_matrix()).max() > 0.01


@given(st.floats(-179, 179), st.floats(-89, 89), st.floats(-179, 179))
def test_angles_survive_a_round_trip(yaw, pitch, roll):
    rotmat = rotation_from_angles(yaw, pitch, roll)
    np.testing.assert_allclose(rotmat @ rotmat.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotmat) == pytest.approx(1)
    np.testing.assert_allclose(angles_from_rotation(rotmat), (yaw, pitch, roll), atol=1e-6)


@given(st.integers(0, 10_000))
def test_rotations_survive_a_round_trip(seed):
    rotmat = Rotation.from_rotvec(np.random.default_rng(seed).normal(size=3)).as_matrix()
    np.testing.assert_allclose(rotation_from_angles(*angles_from_rotation(rotmat)), rotmat, atol=1e-6)


@pytest.mark.parametrize("pitch", [-90.0, 90.0])
def test_straight_up_and_down_stay_finite(pitch):
    yaw, found, roll = angles_from_rotation(rotation_from_angles(0, pitch, 0))
    assert found == pytest.approx(pitch) and np.isfinite([yaw, roll]).all()
