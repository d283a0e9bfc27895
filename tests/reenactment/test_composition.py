from __future__ import annotations

import numpy as np
import torch

from smirk3d.reenactment.composition import compose
from smirk3d.reenactment.face_layers import FaceLayers
from smirk3d.reenactment.region import Region

SIDE = 64


def moved_up_by(pixels: np.ndarray, shift_px: float) -> np.ndarray:
    displacement = torch.zeros(SIDE, SIDE, 2)
    displacement[..., 1] = shift_px * 2 / SIDE
    ones = torch.ones(SIDE, SIDE)
    return compose(pixels, Region(0, 0, SIDE, SIDE), FaceLayers(displacement, ones, ones, torch.zeros(3, SIDE, SIDE)))


def test_a_part_at_the_lower_side_is_stretched_and_not_mirrored() -> None:
    rows = np.linspace(0, 252, SIDE).round().astype(np.uint8)  # rows in order, as of lips above a chin
    shown = moved_up_by(np.tile(rows[:, None, None], (1, SIDE, 3)), 16.0)[:, 5, 0].astype(int)
    assert (np.diff(shown) >= 0).all(), "what lies below comes twice"
    assert np.abs(shown[: SIDE // 2] - rows[16 : 16 + SIDE // 2]).max() <= 2, "far from the side motion is exact"


def test_what_rests_stays_bit_for_bit() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    assert np.array_equal(moved_up_by(pixels, 0.0), pixels)
