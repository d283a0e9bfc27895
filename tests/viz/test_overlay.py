from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from smirk3d.errors import Smirk3dError
from smirk3d.params import FaceParams
from smirk3d.viz.bars import BAR_COLOR, bar_plot
from smirk3d.viz.contact_sheet import contact_sheet
from smirk3d.viz.head_image import draw_in_photo, draw_portrait
from smirk3d.viz.overlay import PANEL_HEIGHT_PX, over_photo, overlay, save_png


@pytest.fixture(scope="module", params=[None, 700.0], ids=["orthographic", "perspective"])
def face(make_face, request):
    return make_face({"jawOpen": 0.6, "mouthSmileLeft": 0.3}, focal_px=request.param)


def test_mesh_covers_what_it_projects_to(face):
    width, height = face.image_size
    drawing = draw_in_photo(face, (0.0, 0.0, width, height), (height, width))
    alpha = drawing.alpha[0, 0].numpy()
    rows, columns = np.nonzero(alpha > 0.5)
    low, high = face.project(face.vertices).min(0), face.project(face.vertices).max(0)
    np.testing.assert_allclose([columns.min(), rows.min()], low.clip(0), atol=1.5)
    np.testing.assert_allclose([columns.max() + 1, rows.max() + 1], np.minimum(high, (width, height)), atol=1.5)
    assert float((drawing.image.amax(dim=1) - drawing.alpha[:, 0]).max()) < 1e-5


def test_crop_and_whole_agree(face):
    width, height = face.image_size
    whole = draw_in_photo(face, (0.0, 0.0, width, height), (height, width)).image
    part = draw_in_photo(face, (100.0, 60.0, 200.0, 160.0), (100, 100)).image
    assert float((whole[..., 60:160, 100:200] - part).abs().mean()) < 0.004


def test_portrait_fills_the_picture_and_shows_pupils(open_head):
    vertices = open_head.v_template.numpy()
    drawing = draw_portrait(open_head, vertices, np.eye(3), (480, 400))
    rows = torch.nonzero(drawing.alpha[0, 0].amax(dim=1) > 0.5)
    assert 0.9 < len(rows) / 480 <= 0.96
    low, high = vertices[:, :2].min(0), vertices[:, :2].max(0)
    scale = 0.94 * min(480 / (high[1] - low[1]), 400 / (high[0] - low[0]))
    eye = (open_head.J_regressor @ open_head.v_template)[3, :2].numpy()
    column, row = (eye - (low + high) / 2) * (scale, -scale) + (200, 240)
    picture = drawing.image[0].amax(dim=0)
    assert float(picture[round(row), round(column)]) < 0.35
    assert float(picture[round(row), round(column) + 18]) > 0.5


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
    picture = overlay(face, np.zeros((size[1], size[0], 3), np.uint8))
    assert picture.shape[0] == PANEL_HEIGHT_PX
    assert picture.shape[1] < 5000


def test_overlay_of_a_face_outside_its_photo(make_face):
    face = make_face({})
    face = replace(face, camera=replace(face.camera, center_px=np.array([9000.0, 0.0])))
    assert overlay(face, np.zeros((240, 320, 3), np.uint8)).shape[0] == PANEL_HEIGHT_PX


def test_overlay_refuses_nothing_and_another_photo(face):
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


def test_bars_are_as_long_as_their_weights():
    picture = bar_plot([("jawOpen", 1.0), ("cheekPuff", 0.5), ("tongueOut", 0.0)], (300, 400), slots=6)
    lengths = (picture == np.array(BAR_COLOR, np.uint8)).all(axis=2).sum(axis=1)
    long, half = lengths.max(), np.unique(lengths)[1]
    assert half == pytest.approx(long / 2, abs=2) and np.unique(lengths)[0] == 0
    assert picture.shape == (300, 400, 3)


@pytest.mark.parametrize("size", [(512, 384), (200, 150), (700, 200)])
def test_long_names_are_not_cut(size):
    picture = bar_plot([("mouthLowerDownRight", 0.5)], size, title="yaw -25°  pitch -13°  confidence 0.93")
    assert (picture[:, 0] == 255).all() and (picture[:, -1] == 255).all()
    assert (picture < 128).any()


def test_teeth_are_light(open_head):
    weights = torch.zeros(open_head.n_expression)
    for name in ("jawOpen", "mouthSmileLeft", "mouthSmileRight", "mouthUpperUpLeft", "mouthUpperUpRight"):
        weights[open_head.expression_names.index(name)] = 0.6
    vertices = open_head(FaceParams(expression=weights)).vertices.numpy()
    picture = draw_portrait(open_head, vertices, np.eye(3), (480, 400)).image[0].numpy()
    mouth = picture[:, 240:440, 120:280]
    red, green, blue = mouth[:, mouth.min(axis=0) > 0.8 * mouth.max(axis=0).clip(0.05)]
    assert len(red) > 50  # the only part without colour
    assert np.median(red) > 0.7 and (red >= green).mean() > 0.9 and (green >= blue).mean() > 0.9


def test_contact_sheet():
    images = [np.full((30 + k, 40, 3), 10 * k, np.uint8) for k in range(5)]
    sheet = contact_sheet(images, [f"n{k}" for k in range(5)], 3, caption_px=16)
    assert sheet.shape == (2 * (34 + 16), 120, 3)
    assert (sheet[17, 20] == 0).all() and (sheet[17, 60] == 10).all() and (sheet[50 + 17, 20] == 30).all()
    with pytest.raises(ValueError, match="captions"):
        contact_sheet(images, ["one"], 3)


def test_save_png(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    save_png(tmp_path / "a.png", image)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), image)
    with pytest.raises(Smirk3dError):
        save_png(tmp_path / "none/a.png", image)
