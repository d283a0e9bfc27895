from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from smirk3d.render.photo_warp.sharpness import blur_px


@pytest.mark.parametrize("sigma", [1.0, 1.5, 2.0, 3.0])
def test_the_blur_of_a_blurred_picture_is_found(sigma: float) -> None:
    random = np.random.default_rng(0)
    blocks = np.kron(random.random((8, 8), dtype=np.float32), np.ones((24, 24), np.float32))
    blurred = torch.from_numpy(cv2.GaussianBlur(blocks, (0, 0), sigma)).expand(3, -1, -1)
    assert blur_px(blurred, torch.ones(192, 192, dtype=torch.bool)) == pytest.approx(sigma, abs=0.3)


def test_a_picture_without_edges_has_a_finite_blur() -> None:
    flat = torch.full((3, 32, 32), 0.5)
    assert np.isfinite(blur_px(flat, torch.ones(32, 32, dtype=torch.bool)))
    assert np.isfinite(blur_px(flat, torch.zeros(32, 32, dtype=torch.bool)))
