"""Images of heads: position, pupils and teeth."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from smirk3d.params import FaceParams
from smirk3d.viz.head_image import draw_in_photo, draw_portrait


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


def test_crop_and_whole_image_agree(face):
    width, height = face.image_size
    whole = draw_in_photo(face, (0.0, 0.0, width, height), (height, width)).image
    part = draw_in_photo(face, (100.0, 60.0, 200.0, 160.0), (100, 100)).image
    assert float((whole[..., 60:160, 100:200] - part).abs().mean()) < 0.004


def test_portrait_fills_the_image_and_shows_pupils(open_head):
    vertices = open_head.v_template.numpy()
    drawing = draw_portrait(open_head, vertices, np.eye(3), (480, 400))
    rows = torch.nonzero(drawing.alpha[0, 0].amax(dim=1) > 0.5)
    assert 0.9 < len(rows) / 480 <= 0.96
    low, high = vertices[:, :2].min(0), vertices[:, :2].max(0)
    scale = 0.94 * min(480 / (high[1] - low[1]), 400 / (high[0] - low[0]))
    eye = (open_head.J_regressor @ open_head.v_template)[3, :2].numpy()
    column, row = (eye - (low + high) / 2) * (scale, -scale) + (200, 240)
    image = drawing.image[0].amax(dim=0)
    assert float(image[round(row), round(column)]) < 0.35
    assert float(image[round(row), round(column) + 18]) > 0.5


def test_teeth_are_light(open_head):
    weights = torch.zeros(open_head.n_expression)
    for name in ("jawOpen", "mouthSmileLeft", "mouthSmileRight", "mouthUpperUpLeft", "mouthUpperUpRight"):
        weights[open_head.expression_names.index(name)] = 0.6
    vertices = open_head(FaceParams(expression=weights)).vertices.numpy()
    image = draw_portrait(open_head, vertices, np.eye(3), (480, 400)).image[0].numpy()
    mouth = image[:, 240:440, 120:280]
    red, green, blue = mouth[:, mouth.min(axis=0) > 0.8 * mouth.max(axis=0).clip(0.05)]
    assert len(red) > 50  # the only part without colour
    assert np.median(red) > 0.7 and (red >= green).mean() > 0.9 and (green >= blue).mean() > 0.9
