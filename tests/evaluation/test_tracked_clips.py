"""Errors of poses."""

import numpy as np
import pytest
import torch

from smirk3d.evaluation.tracked_clips import rotation_errors_deg
from smirk3d.geometry.euler import rotation_from_angles


def test_the_mean_rotation_is_taken_off():
    rotmat = torch.from_numpy(np.stack([rotation_from_angles(0, 0, angle) for angle in (4.0, 6.0)]))
    errors, offset = rotation_errors_deg(rotmat)
    assert errors == pytest.approx([1, 1]) and offset == pytest.approx(5)
