"""Gap filling: short gaps are interpolated, long ones stay gaps."""

import numpy as np

from smirk3d.geometry.euler import angles_from_rotation, rotation_from_angles
from smirk3d.track import Status
from smirk3d.tracking.gap_filling import frame_statuses, interpolate_gaps
from smirk3d.tracking.motion import HeadMotion


def test_only_gaps_up_to_the_limit_are_filled() -> None:
    is_detected = np.array([1, 0, 0, 1, 1, 0, 0, 0, 0, 1], dtype=bool)
    found = frame_statuses(is_detected, np.arange(10) * 0.1, max_gap_s=0.35)
    assert [Status(s).name[0] for s in found] == list("SFFSSLLLLS")
    assert (frame_statuses(is_detected, np.arange(10) * 0.1, max_gap_s=0.0)[~is_detected] == Status.LOST).all()
    assert (frame_statuses(np.ones(3, dtype=bool), np.array([0.0, 5.0, 9.0]), 0.5) == Status.SEEN).all()


def test_interpolation_is_linear_in_time() -> None:
    is_detected = np.array([True, False, True])
    time_s = np.array([0.0, 0.1, 0.4])
    ends = HeadMotion(
        arkit=np.array([np.zeros(52), np.ones(52)]),
        rotmat=np.stack([rotation_from_angles(-20, 0, 0), rotation_from_angles(20, 0, 0)]),
        offset_px=np.array([[0.0, 0.0], [8.0, 4.0]]),
        scale_px_per_m=np.array([400.0, 800.0]),
        residual=np.array([0.0, 0.04]),
        native={"jaw": np.array([[0.0, 0, 0], [0.4, 0, 0]])},
    )
    result = interpolate_gaps(ends, is_detected, time_s)
    np.testing.assert_allclose(result.arkit[1], 0.25)
    np.testing.assert_allclose(result.offset_px[1], [2, 1])
    np.testing.assert_allclose(angles_from_rotation(result.rotmat[1]), (-10, 0, 0), atol=1e-6)
    np.testing.assert_allclose(result.native["jaw"][:, 0], [0, 0.1, 0.4])
    for row, k in ((0, 0), (2, 1)):
        np.testing.assert_allclose(result.rotmat[row], ends.rotmat[k], atol=1e-12)
        assert result.scale_px_per_m[row] == ends.scale_px_per_m[k]
