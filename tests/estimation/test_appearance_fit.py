"""Appearances are found again in renders of heads that wear them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from smirk3d.estimation.appearance_fit import (
    fit_appearance,
    median_appearance,
    with_appearance,
    with_shared_appearance,
)
from smirk3d.estimation.appearance_points import PhotoPatch, bilinear
from smirk3d.estimation.sex_typical_look import female_look, normalised
from smirk3d.estimation.skin_light import harmonics
from smirk3d.face import Face
from smirk3d.head import registry
from smirk3d.head.model import HeadModel
from smirk3d.render.appearance.appearance_model import head_textures
from smirk3d.render.appearance.face_appearance import LUMA, FaceAppearance, skin_tone, srgb_to_lab
from smirk3d.viz.head_image import draw_in_photo

SIZE = (320, 240)


@pytest.fixture(scope="module")
def face(make_face: Callable[..., Face], open_head: HeadModel) -> Face:
    face = make_face({}, angles_deg=(12.0, 3.0, 0.0), image_size=SIZE)
    return replace(face, head_id=registry.register(open_head))


def _photo(face: Face, appearance: FaceAppearance) -> np.ndarray:
    width, height = SIZE
    drawing = draw_in_photo(face, (0.0, 0.0, width, height), (height, width), head_textures(appearance))
    image = drawing.over(torch.full((1, 3, 1, 1), 0.4))[0].permute(1, 2, 0)
    return (image * 255).round().byte().numpy()


def _fit(face: Face, pixels: np.ndarray, female: float = 0.0) -> FaceAppearance:
    return fit_appearance(face, PhotoPatch.whole(pixels), face.landmarks("mediapipe"), female)


def _lightness(appearance: FaceAppearance) -> float:
    return float(srgb_to_lab(np.array(appearance.skin))[0])


@pytest.mark.parametrize("lightness", [38.0, 52.0, 66.0])
def test_tone_is_found(face: Face, lightness: float) -> None:
    found = _fit(face, _photo(face, FaceAppearance(skin=skin_tone(lightness))))
    assert abs(_lightness(found) - lightness) < 9
    assert np.ptp(np.array(found.skin) / np.array(skin_tone(_lightness(found)))) < 0.15


def test_darker_skin_is_found_darker(face: Face) -> None:
    found = [_lightness(_fit(face, _photo(face, FaceAppearance(skin=skin_tone(value))))) for value in (68, 58, 48, 38)]
    assert (np.diff(found) < -4).all()


def test_glare_and_a_shadow_hardly_count(face: Face) -> None:
    pixels = _photo(face, FaceAppearance())
    x, y = face.landmarks("mediapipe")[[205, 425]].astype(int).T
    spoilt = pixels.copy()
    spoilt[y[0] - 8 : y[0] + 8, x[0] - 8 : x[0] + 8] = 255
    spoilt[y[1] - 10 : y[1] + 10, x[1] - 10 : x[1] + 10] = 10
    assert abs(_lightness(_fit(face, spoilt)) - _lightness(_fit(face, pixels))) < 1.5


def test_grey_photos_get_usual_colours(face: Face) -> None:
    grey = _photo(face, FaceAppearance()) @ np.array([0.299, 0.587, 0.114])
    found = _fit(face, np.repeat(grey[..., None], 3, axis=2).round().astype(np.uint8))
    np.testing.assert_allclose(found.skin, skin_tone(_lightness(found)), atol=1e-3)
    red, green, blue = found.hair
    assert red >= green >= blue


def test_hair_and_beard_are_found(face: Face) -> None:
    fair = FaceAppearance(hair=(0.62, 0.50, 0.34))
    dark = FaceAppearance(hair=(0.08, 0.06, 0.05), beard=0.8, moustache=0.8)
    first, second = _fit(face, _photo(face, fair), -1.0), _fit(face, _photo(face, dark), -1.0)
    assert sum(first.hair) > sum(second.hair) + 0.4
    assert second.beard > first.beard + 0.3 and second.moustache > first.moustache + 0.2


def test_fair_hair_is_found_as_light_as_it_is(face: Face) -> None:
    fair = FaceAppearance(hair=(0.62, 0.50, 0.34), hair_short=1.0)
    found = _fit(face, _photo(face, fair), -1.0)
    np.testing.assert_allclose(np.dot(found.hair, LUMA), np.dot(fair.hair, LUMA), atol=0.12)


def test_shine_does_not_turn_dark_hair_grey(face: Face) -> None:
    dark = FaceAppearance(hair=(0.10, 0.07, 0.05), hair_short=1.0)
    pixels = _photo(face, dark)
    shining = pixels.copy()
    top = slice(int(face.project(face.vertices)[:, 1].min()), int(face.landmarks("mediapipe")[10, 1]))
    shining[top, ::2] = shining[top, ::2] // 2 + 70
    found, plain = _fit(face, shining, -1.0), _fit(face, pixels, -1.0)
    assert np.dot(found.hair, LUMA) < np.dot(plain.hair, LUMA) + 0.12


def test_look_decides_hair_and_lashes(face: Face) -> None:
    pixels = _photo(face, FaceAppearance())
    male, female = _fit(face, pixels, -1.0), _fit(face, pixels, 1.0)
    assert male.hair_long == 0 and female.hair_short == 0 and female.hair_long > 0.9
    assert female.lashes > male.lashes and female.beard == 0


def test_fit_is_deterministic(face: Face) -> None:
    pixels = _photo(face, FaceAppearance())
    assert _fit(face, pixels) == _fit(face, pixels.copy())


def test_a_face_outside_of_the_photo_gets_the_default(face: Face) -> None:
    away = replace(face, camera=replace(face.camera, center_px=np.array([5000.0, 5000.0])))
    assert _fit(away, np.zeros((240, 320, 3), np.uint8)).skin == FaceAppearance().skin


def test_a_photo_may_change_before_the_appearance_is_used(face: Face) -> None:
    pixels = _photo(face, FaceAppearance(skin=skin_tone(45)))
    first, second = (with_appearance(face, pixels, face.landmarks("mediapipe")) for _ in range(2))
    used = first.appearance
    pixels[:] = 255
    assert second.appearance == used != with_appearance(face, pixels, face.landmarks("mediapipe")).appearance


def test_a_large_photo_is_kept_reduced(face: Face) -> None:
    pixels, landmarks = np.zeros((2000, 2000, 3), np.uint8), np.random.default_rng(0).uniform(100, 1900, (478, 2))
    assert PhotoPatch.of_face(pixels, landmarks).pixels.nbytes < 700_000


def test_one_person_has_one_appearance(face: Face) -> None:
    looks = [FaceAppearance(beard=value, skin=(value, 0.5, 0.4)) for value in (0.2, 0.8, 0.4)]
    shared = with_shared_appearance([face.with_appearance(look) for look in looks])
    assert {each.appearance for each in shared} == {looks[2]}
    assert median_appearance(looks, [1, 5, 1]) == looks[1]


def test_harmonics_are_orthogonal_over_the_sphere() -> None:
    points = np.random.default_rng(0).standard_normal((20000, 3))
    basis = harmonics(points / np.linalg.norm(points, axis=1, keepdims=True))
    gram = basis.T @ basis / len(basis)
    scale = np.sqrt(np.diag(gram))
    assert np.abs(gram / np.outer(scale, scale) - np.eye(9)).max() < 0.05


def test_patch_is_a_reduced_part_of_the_photo() -> None:
    pixels = np.zeros((200, 300, 3), dtype=np.uint8)
    pixels[..., 0] = np.linspace(0, 255, 300)[None]
    points = np.array([[100.0, 50.0], [180.0, 150.0]])
    patch = PhotoPatch.whole(pixels).around(points, 25)
    assert patch.pixels.shape == (25, 20, 3)
    direct, reduced = bilinear(pixels, points[:1] + 20), bilinear(patch.pixels, patch.place(points[:1] + 20))
    np.testing.assert_allclose(direct, reduced, atol=0.01)


def test_look_is_the_same_in_the_mirror_and_under_gain(face: Face) -> None:
    pixels, points = _photo(face, FaceAppearance()), face.landmarks("mediapipe")
    look = female_look(PhotoPatch.whole(pixels), points)
    assert -1 <= look <= 1
    darker = (pixels * 0.7).round().astype(np.uint8)
    assert abs(female_look(PhotoPatch.whole(darker), points) - look) < 0.15
    assert normalised(np.full((48, 40), 7.0)).tolist() == np.zeros((48, 40)).tolist()


@pytest.mark.parametrize("lightness", [38.0, 52.0, 66.0])
def test_grey_photos_show_dark_and_light_skin(face: Face, lightness: float) -> None:
    grey = _photo(face, FaceAppearance(skin=skin_tone(lightness))) @ np.array([0.299, 0.587, 0.114])
    found = _fit(face, np.repeat(grey[..., None], 3, axis=2).round().astype(np.uint8))
    assert abs(_lightness(found) - lightness) < 9
