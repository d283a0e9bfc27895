"""Windows of photos and the way back."""

from __future__ import annotations

import numpy as np
import torch
from skimage.data import astronaut

from smirk3d.detection.face_patch import PatchFrame
from smirk3d.fer.vae.paste import pasted
from smirk3d.fer.vae.windows import as_images, as_windows, colour_window, crop_frame

FRAME = PatchFrame(np.array([224.0, 120.0]), np.array([60.0, 15.0]))


def test_the_window_of_a_crop_is_its_central_square() -> None:
    pixels = np.zeros((128, 256, 3), dtype=np.uint8)
    pixels[:, 64:192] = [10, 200, 30]
    window = colour_window(pixels, crop_frame(256, 128))
    assert (window[:, 1:-1] == [10, 200, 30]).all()


def test_a_window_is_turned_with_its_frame() -> None:
    pixels = astronaut()
    quarter = PatchFrame(FRAME.center_px, np.array([0.0, 60.0]))
    upright = PatchFrame(FRAME.center_px, np.array([60.0, 0.0]))
    turned = np.rot90(colour_window(pixels, upright), 1)
    assert np.abs(colour_window(pixels, quarter).astype(int) - turned).mean() < 2


def test_images_and_windows_are_inverse() -> None:
    windows = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    assert (as_windows(as_images(windows)) == windows).all()


def test_a_pasted_window_is_where_it_was_taken() -> None:
    photo = astronaut()
    window = as_images(colour_window(photo, FRAME)[None])[0]
    result = pasted(photo, FRAME, torch.zeros_like(window), window, "face")
    y, x = np.mgrid[:512, :512] + 0.5
    radius = np.hypot(x - FRAME.center_px[0], y - FRAME.center_px[1]) / np.hypot(*FRAME.right_px)
    assert (result[radius > 1] == photo[radius > 1]).all()
    difference = np.abs(result.astype(int) - photo)[radius < 0.5]
    moved = np.abs(np.roll(result, 4, axis=1).astype(int) - photo)[radius < 0.5]
    assert difference.mean() < 0.5 * moved.mean()


def test_only_a_change_changes_the_photo() -> None:
    photo, before = astronaut(), torch.rand(3, 64, 64)
    assert (pasted(photo, FRAME, before, before, "change") == photo).all()
    lighter = pasted(photo, FRAME, before, before + 0.1, "change")
    x, y = FRAME.center_px.astype(int)
    middle = photo[y - 9 : y + 9, x - 9 : x + 9].astype(int)
    assert np.abs(lighter[y - 9 : y + 9, x - 9 : x + 9] - np.minimum(middle + 25.5, 255)).max() <= 1


def test_a_frame_beyond_the_photo_leaves_it_alone() -> None:
    photo = astronaut()
    frame = PatchFrame(np.array([-400.0, -400.0]), np.array([60.0, 0.0]))
    assert (pasted(photo, frame, torch.zeros(3, 64, 64), torch.ones(3, 64, 64), "face") == photo).all()
