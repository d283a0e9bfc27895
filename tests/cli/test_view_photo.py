"""A photo in the viewer."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.data import astronaut

from smirk3d import Reconstructor
from smirk3d.cli.view_photo import scene_of
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.reenactment.reenactor import Reenactor
from smirk3d.viewer.scene import ViewScene


@pytest.fixture(scope="module")
def reenactor() -> Reenactor:
    with Reconstructor(method="fit") as reconstructor:
        return Reenactor(astronaut(), reconstructor, max_side_px=256)


@pytest.fixture(scope="module")
def scene(reenactor: Reenactor) -> ViewScene:
    return scene_of(reenactor, "me.jpg")


def test_sliders_are_the_52_weights_and_start_at_those_of_the_photo(reenactor: Reenactor, scene: ViewScene) -> None:
    assert scene.name == "me.jpg" and sorted(scene.names) == sorted(ARKIT_NAMES)
    shown = dict(zip(scene.names, scene.curves.weights[0].tolist()))
    assert shown == pytest.approx(reenactor.source.face.arkit, abs=1e-3)


def test_the_photo_moves_with_them(reenactor: Reenactor, scene: ViewScene) -> None:
    assert scene.moved_image is not None
    first, weights = scene.moved_image(scene.curves.weights[0]).astype(int), scene.curves.weights[0].copy()
    assert np.abs(first - reenactor.source.pixels).mean() < 0.2
    weights[scene.names.index("jawOpen")] = 1.0
    assert np.abs(scene.moved_image(weights) - first).max() > 60
