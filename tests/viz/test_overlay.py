"""Overlay images: panels, crops and order of faces."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from smirk3d.errors import Smirk3dError
from smirk3d.viz.overlay import PANEL_HEIGHT_PX, over_photo, overlay, save_png


@pytest.fixture(scope="module", params=[None, 700.0], ids=["orthographic", "perspective"])
def face(make_face, request):
    return make_face({"jawOpen": 0.6, "mouthSmileLeft": 0.3}, focal_px=request.param)


def test_overlay_is_one_row_of_panels(face):
    width, height = face.image_size
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
    before = pixels.copy()
    one = overlay(face, pixels)
    assert one.shape[0] == PANEL_HEIGHT_PX and one.dtype == np.uint8
    np.testing.assert_array_equal(pixels, before)
    second = replace(face, camera=replace(face.camera, center_px=face.camera.center_px - (60, 0)))
    assert overlay([face, second], pixels).shape[1] > one.shape[1]
    np.testing.assert_array_equal(overlay([face], pixels), one)


@pytest.mark.parametrize("size", [(64, 2000), (3000, 200), (40, 40)])
def test_overlay_of_odd_photos(make_face, size):
    face = make_face({}, image_size=size)
    image = overlay(face, np.zeros((size[1], size[0], 3), np.uint8))
    assert image.shape[0] == PANEL_HEIGHT_PX
    assert image.shape[1] < 5000


def test_overlay_of_a_face_outside_its_photo(make_face):
    face = make_face({})
    face = replace(face, camera=replace(face.camera, center_px=np.array([9000.0, 0.0])))
    assert overlay(face, np.zeros((240, 320, 3), np.uint8)).shape[0] == PANEL_HEIGHT_PX


def test_overlay_refuses_no_faces_and_another_photo(face):
    with pytest.raises(ValueError, match="at least one"):
        overlay([], np.zeros((240, 320, 3), np.uint8))
    with pytest.raises(ValueError, match="size"):
        overlay(face, np.zeros((10, 10, 3), np.uint8))


def test_nearest_face_is_on_top(make_face):
    near, far = make_face({}, seed=0), make_face({}, seed=1)
    far = replace(far, camera=replace(far.camera, scale_px_per_m=far.camera.scale_px_per_m * 0.8))
    photo = np.zeros((240, 320, 3), np.uint8)
    box = (0.0, 0.0, 320.0, 240.0)
    both, other_way = over_photo([near, far], photo, box), over_photo([far, near], photo, box)
    np.testing.assert_array_equal(both, other_way)


@pytest.mark.parametrize("is_grey", [True, False])
def test_a_mesh_over_a_grey_photo_is_grey(face, is_grey):
    width, height = face.image_size
    pixels = np.random.default_rng(0).integers(60, 190, (height, width, 1)).astype(np.uint8).repeat(3, axis=2)
    if not is_grey:
        pixels[..., 2] //= 2
    drawn = over_photo([face], pixels, (0, 0, width, height)).astype(int)
    assert (drawn != pixels).any()
    assert (np.ptp(drawn, axis=2).max() == 0) == is_grey


def test_save_png(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    save_png(tmp_path / "a.png", image)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), image)
    with pytest.raises(Smirk3dError):
        save_png(tmp_path / "none/a.png", image)
