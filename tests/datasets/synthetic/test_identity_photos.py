"""Rendered people whose looks go with their shapes."""

import numpy as np
import pytest
import torch

from smirk3d.authoring.macro_regression import TRAITS, MacroRegression
from smirk3d.datasets.synthetic.identity_photos import MAX_SHAPE, SIZE_PX, identity_photos, matching_appearance
from smirk3d.render.appearance.face_appearance import srgb_to_lab


def drawn(traits: dict[str, float]) -> list:
    generator = torch.Generator().manual_seed(0)
    return [matching_appearance({**dict.fromkeys(TRAITS, 0.1), **traits}, generator) for _ in range(60)]


def mean(values: list) -> float:
    return float(np.mean(values))


def test_looks_go_with_the_traits():
    women, men = (drawn({"female": value}) for value in (1.0, 0.0))
    assert mean([each.female for each in women]) > 0.5 > -0.5 > mean([each.female for each in men])
    assert not any(each.beard for each in women) and any(each.beard for each in men)
    assert mean([each.hair_long > 0 for each in women]) > mean([each.hair_long > 0 for each in men]) + 0.3
    old, young = (drawn({"old": value}) for value in (0.9, 0.0))
    assert mean([each.aged for each in old]) > 0.6 > 0.3 > mean([each.aged for each in young])
    dark, light = (drawn({"african": value}) for value in (0.9, 0.0))
    assert mean([srgb_to_lab(np.array(each.skin))[0] for each in dark]) < 45
    assert mean([srgb_to_lab(np.array(each.skin))[0] for each in light]) > 55


def test_photos_are_reproducible_and_agree_with_their_landmarks(open_head):
    looks = MacroRegression(torch.zeros(open_head.n_shape, 4), torch.full((4,), 0.5), torch.full((4,), 0.1))
    first, again = (list(identity_photos(open_head, looks, 2, seed=3)) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        assert one.pixels.shape == (SIZE_PX, SIZE_PX, 3) and one.pixels.dtype == np.uint8
        assert np.array_equal(one.pixels, other.pixels) and one.shape.equal(other.shape)
        assert one.shape.abs().max() <= MAX_SHAPE and one.points_px.shape == (478, 2)
        box = one.points_px.amax(0) - one.points_px.amin(0)
        assert 0.35 * SIZE_PX < box.max() < 0.95 * SIZE_PX
    assert first[0].shape.std() == pytest.approx(0.9, abs=0.2)
    assert not first[0].shape.equal(first[1].shape)
