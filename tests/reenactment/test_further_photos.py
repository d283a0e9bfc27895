"""What one photo hides comes from the others."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from smirk3d.geometry.euler import rotation_from_angles
from smirk3d.reenactment.composition import compose
from smirk3d.reenactment.face_layers import face_layers
from smirk3d.reenactment.source_photo import SourcePhoto, prepare_source

OPEN = {"jawOpen": 0.8, "mouthUpperUpLeft": 1.0, "mouthUpperUpRight": 1.0}


def _photo(person: Any, weights: dict[str, float], texels: torch.Tensor) -> SourcePhoto:
    """Return a photo whose fitted appearance is another one than the true one."""
    face = person.face.with_arkit(weights)
    return prepare_source(person.picture(weights), face, face.landmarks("mediapipe"), texels)


def _moved(
    source: SourcePhoto, further: list[SourcePhoto], weights: dict[str, float], rotation: np.ndarray
) -> np.ndarray:
    layers = face_layers(source, source.placed(source.face.with_arkit(weights), rotation), further)
    return compose(source.pixels, source.region, layers)


def test_another_photo_shows_what_the_first_one_hides(person: Any) -> None:
    wrong = (person.texels * torch.tensor([0.6, 0.9, 0.7])).clamp(0, 1)
    source, further = _photo(person, {}, wrong), [_photo(person, OPEN, wrong)]
    truth = person.picture(OPEN).astype(float)
    alone, together = (_moved(source, each, OPEN, source.face.rotation).astype(float) for each in ([], further))
    assert ((together - truth) ** 2).mean() < 0.97 * ((alone - truth) ** 2).mean()


def test_the_photos_own_expression_stays_with_further_photos(person: Any) -> None:
    source, further = _photo(person, {}, person.texels), _photo(person, OPEN, person.texels)
    assert np.array_equal(_moved(source, [further], {}, source.face.rotation), source.pixels)


def test_further_photos_do_not_reach_beyond_what_is_hidden(person: Any) -> None:
    source = _photo(person, {}, person.texels)
    dark = _photo(person, OPEN, person.texels)
    dark.pixels[:] = dark.pixels // 4
    rotation = rotation_from_angles(4, 0, 3) @ source.face.rotation
    alone, together = (_moved(source, each, {}, rotation).astype(float) for each in ([], [dark]))
    assert np.abs(alone - together).mean() < 1.0
