"""Textures from a photo with known colours, so that the correct colour of every texel is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from smirk3d.export.tables.npz import vertices_image
from smirk3d.export.texture import sample_texture, vertex_colors
from smirk3d.render.appearance.materials import material_parts
from smirk3d.render.appearance.materials import vertex_colors as plain_colors
from smirk3d.render.draw import draw

SIZE = 256


def position_colors(vertices: np.ndarray) -> np.ndarray:
    """Smooth colours (V, 3) in [0, 1] that are the same left and right."""
    x, y, z = vertices.T
    return np.stack([0.2 + 6 * np.abs(x), 0.5 + 3 * y, 0.3 + 3 * z], axis=1).clip(0.05, 0.95)


@pytest.fixture(scope="module", params=[None, 700.0], ids=["orthographic", "perspective"])
def scene(make_face, request):
    face = make_face(
        {"mouthSmileLeft": 0.3}, angles_deg=(25.0, 0.0, 0.0), image_size=(420, 400), focal_px=request.param
    )
    ndc = torch.from_numpy(vertices_image(face)).float() / torch.tensor([210.0, 200.0, 1.0])
    ndc = ndc - torch.tensor([1.0, 1.0, 0.0])
    w = None if request.param is None else torch.from_numpy(face.camera.depth(face.vertices)).float()[None]
    colors = torch.from_numpy(position_colors(face.vertices)).float()
    drawing = draw(ndc[None], face.head.faces, size=(400, 420), colors=colors, w=w)
    pixels = (drawing.image[0].permute(1, 2, 0) * 255).round().byte().numpy()
    return face, pixels, sample_texture(face, pixels, SIZE)


def texels(face, texture) -> tuple[np.ndarray, np.ndarray]:
    """Rows, columns (V,) of the texel that each skin vertex lies in (its last corner counts)."""
    skin = material_parts(face.head)[0].face_index
    uv = np.zeros((len(face.vertices), 2))
    uv[face.triangles[skin]] = texture.uv[face.head.faces_uv.numpy()[skin]]
    column, row = (uv * (1, -1) + (0, 1)).T * SIZE
    return row.astype(int).clip(0, SIZE - 1), column.astype(int).clip(0, SIZE - 1)


def test_visible_texels_have_the_colors_of_the_photo(scene):
    face, _, texture = scene
    row, column = texels(face, texture)
    on_skin = face.head.region_mask("face").numpy() & ~face.head.region_mask("lips").numpy()
    seen = texture.visible[row, column] & on_skin
    assert seen.sum() > 700
    error = np.abs(texture.image[row, column] - 255 * position_colors(face.vertices))[seen]
    assert np.median(error) < 3 and np.quantile(error, 0.95) < 20


def test_the_far_side_has_the_mirrored_colors(scene):
    face, _, texture = scene
    row, column = texels(face, texture)
    # The head turns to its left, so its left cheek and ear are the hidden ones.
    x = face.vertices[:, 0]
    cheek = face.head.region_mask("face").numpy() & (x > 0.055)
    hidden = cheek & ~texture.visible[row, column]
    assert hidden.sum() > 20
    error = np.abs(texture.image[row, column] - 255 * position_colors(face.vertices))[hidden]
    assert np.median(error) < 12


def test_the_back_of_the_head_is_not_visible(scene):
    face, _, texture = scene
    row, column = texels(face, texture)
    back = face.vertices[:, 2] < -0.02
    skin = np.zeros(len(back), bool)
    skin[face.triangles[material_parts(face.head)[0].face_index]] = True
    assert texture.visible[row, column][back & skin].mean() < 0.1
    assert texture.image.min(axis=2)[row, column][back & skin].mean() > 10  # filled, not black


def test_vertex_colors(scene):
    face, pixels, _ = scene
    colors = vertex_colors(face, pixels)
    assert colors.shape == face.vertices.shape and colors.dtype == np.uint8
    mouth = face.head.region_mask("tongue").numpy() | face.head.region_mask("eyeballs").numpy()
    plain = (plain_colors(face.head) * 255).round()
    np.testing.assert_array_equal(colors[mouth], plain[mouth])
    near = face.head.region_mask("forehead").numpy() & (face.vertices[:, 0] < 0)
    error = np.abs(colors - 255 * position_colors(face.vertices))[near]
    assert np.median(error) < 3


def test_refuses_another_photo(scene):
    face, pixels, _ = scene
    with pytest.raises(ValueError, match="pixels must be"):
        sample_texture(face, pixels[1:])


def test_a_face_outside_the_photo_has_the_default_skin_color(make_face):
    from dataclasses import replace

    face = make_face()
    face = replace(face, camera=replace(face.camera, center_px=np.array([5000.0, 120.0])))
    pixels = np.zeros((240, 320, 3), np.uint8)
    texture = sample_texture(face, pixels, 64)
    assert not texture.visible.any()
    assert texture.image.min() > 100
